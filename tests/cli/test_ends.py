"""How a command ends that is told to: what it says, its status, and what is kept."""

import signal
import subprocess
import sys
import time

import pytest

from composed import compose
from forked import Forked
from head2head.model import memory
from head2head.model.finetuner import FineTuner
from head2head.model.memory import OutOfMemory
from head2head.run import processes
from head2head.run.run import run

SMALL = ["encoder=random-tiny", "trainer.accelerator=cpu", "trainer.enable_progress_bar=false", "threads=1",
         "task.rows.validation=40", "batch_size=16", "trainer.max_epochs=400", "task.rows.train=240"]  # fmt: skip


def ended(process):
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    return process.returncode, err.strip()


def wait_for(found, process):
    end = time.monotonic() + 60
    while not found():
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("keeps", [True, False])
@pytest.mark.parametrize("frozen", [False, True])
def test_sigterm_ends_a_run_with_143_and_a_line_that_says_what_was_kept(keeps, frozen, tmp_path):
    settings = ["checkpoint_minutes=60"] * keeps + ["encoder.frozen=true"] * frozen
    process = Forked(
        "train", [*SMALL, f"output_dir={tmp_path}/runs", f"cache_dir={tmp_path}/cache", *settings], tmp_path
    )
    if frozen:
        wait_for(lambda: list(tmp_path.glob("cache/features/*/*.json")), process)
    else:
        wait_for(lambda: [path for path in tmp_path.glob("runs/*/*/*/metrics.csv") if path.stat().st_size], process)
    status, said = ended(process)
    checkpoints = list(tmp_path.glob("runs/.checkpoints/*.ckpt"))
    assert status == 143
    assert len(checkpoints) == (keeps and not frozen)
    lines = [line for line in said.splitlines() if line.startswith("ended by SIGTERM")]
    what = (
        f"its checkpoint was kept, and the same command goes on from it ({tmp_path}"
        if checkpoints
        else "nothing was kept"
    )
    assert len(lines) == 1
    assert lines[0].startswith(f"ended by SIGTERM: {what}")
    assert "Traceback" not in said
    assert not list(tmp_path.glob("runs/[!.]*"))


def test_sigterm_before_the_training_leaves_nothing(tmp_path):
    process = Forked("train", [*SMALL, "task.rows.train=200000", f"output_dir={tmp_path}/runs",
                               f"cache_dir={tmp_path}/cache"], tmp_path)  # fmt: skip
    wait_for(lambda: list(tmp_path.glob("runs/*/*/*/.running")), process)
    status, said = ended(process)
    assert (status, said.splitlines()[-1]) == (143, "ended by SIGTERM: nothing was kept")
    assert not (tmp_path / "runs").exists()


def test_a_handler_that_was_there_before_is_there_again():
    before = signal.getsignal(signal.SIGTERM)
    with processes.ending_on_sigterm():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


WAITS = """
import time
from head2head.cli.hydra_command_line import one_line_errors
one_line_errors(lambda: (print(1, flush=True), time.sleep(60)))
"""


def test_a_process_that_does_nothing_yet_ends_with_143_too():
    process = subprocess.Popen([sys.executable, "-c", WAITS], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.readline()
    assert ended(process) == (143, "ended by SIGTERM: nothing was kept")


SHORT = [*SMALL, "trainer.max_epochs=1", "task.rows.train=32"]
ON_CPU = "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
MESSAGES = {
    "CUDA out of memory. Tried to allocate 2.00 GiB": RuntimeError,
    ON_CPU: RuntimeError,
    "a layer's output": MemoryError,
}


@pytest.mark.parametrize("message", MESSAGES)
@pytest.mark.parametrize("training", [True, False])
def test_out_of_memory_is_one_line_with_the_batch_and_what_to_change(message, training, tmp_path, monkeypatch):
    def short_of_memory(*_):
        raise MESSAGES[message](message)

    if training:
        monkeypatch.setattr(FineTuner, "loss", short_of_memory)
    else:
        monkeypatch.setattr(FineTuner, "validation_step", lambda self, batch, *_: short_of_memory(self(batch)))
    with pytest.raises(OutOfMemory) as error:
        run(compose([*SHORT, f"output_dir={tmp_path}/runs", f"cache_dir={tmp_path}/cache"]))
    text = str(error.value)
    assert text.startswith("out of memory on cpu: there is not enough for a batch of ")
    assert ("a batch of 16 texts x " in text) is training
    assert (memory.TRAINING if training else memory.EVALUATION) in text
    assert "\n" not in text
    assert not (tmp_path / "runs").exists()


def test_other_errors_are_not_taken_for_it(tmp_path, monkeypatch):
    def wrong(*_):
        raise RuntimeError("sizes of tensors must match")

    monkeypatch.setattr(FineTuner, "loss", wrong)
    with pytest.raises(RuntimeError, match="sizes of tensors"):
        run(compose([*SHORT, f"output_dir={tmp_path}/runs", f"cache_dir={tmp_path}/cache"]))
