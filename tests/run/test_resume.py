"""A run that is killed and started again, against the same run in one go."""

import os
import signal
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from composed import compose
from forked import ROOT, Forked
from head2head.errors import UserError
from head2head.model.finetuner import Diverged, FineTuner
from head2head.run.result import read_result
from head2head.run.run import run
from head2head.speed.cpu import library

SMALL = [
    "encoder=random-tiny",
    "trainer.accelerator=cpu",
    "trainer.enable_progress_bar=false",
    "trainer.max_epochs=2",
    "trainer.log_every_n_steps=1",
    "task.rows.train=80",
    "task.rows.validation=40",
    "batch_size=16",  # 5 steps in an epoch
    "optimizer.lr=1e-2",
    "optimizer.weight_decay=0.5",
    "threads=1",
    "checkpoint_minutes=1e-9",  # behind each step
]


class Killed(BaseException):
    """What ends a run in the middle."""


class Steps(list):
    """The micro-batches that were trained on, each with what dropout would draw next: epoch, rows, numbers. What
    comes when the list is as long as `killed_at`, another one or a validation, kills the run; when it is as long as
    `ended_at`, the process is told to end."""

    killed_at = ended_at = None

    def check(self):
        if len(self) == self.killed_at:
            self.killed_at = None
            raise Killed
        if len(self) == self.ended_at:
            self.ended_at = None
            os.kill(os.getpid(), signal.SIGTERM)

    def watch(self, patch):
        """Be told of every step and validation as long as the patch is in place."""
        train, validate = FineTuner.training_step, FineTuner.on_validation_start

        def training_step(model, batch, batch_idx):
            self.check()
            loss = train(model, batch, batch_idx)
            self.append((model.current_epoch, batch.prediction_ids.tolist(), torch.rand(3).tolist()))
            return loss

        def on_validation_start(model):
            self.check()
            validate(model)

        patch.setattr(FineTuner, "training_step", training_step)
        patch.setattr(FineTuner, "on_validation_start", on_validation_start)


def go(place, *overrides):
    overrides = [*SMALL, f"output_dir={place}/runs", f"cache_dir={place.parent}/cache", *overrides]
    return run(compose(overrides), overrides)


def checkpoints(place):
    return list((place / "runs/.checkpoints").glob("*"))


@pytest.fixture
def steps(monkeypatch):
    """The steps of the test's runs."""
    seen = Steps()
    seen.watch(monkeypatch)
    return seen


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    """A run in one go, with nothing but SMALL, and its steps; not to be changed."""
    seen = Steps()
    with pytest.MonkeyPatch.context() as patch:
        seen.watch(patch)
        torch.set_num_threads(1)
        return go(tmp_path_factory.mktemp("usual") / "whole"), seen


def interrupted(place, steps, at, *overrides, between=lambda: None):
    """The result of a run that is killed behind `at` micro-batches and started again."""
    steps.clear()
    steps.killed_at = at
    with pytest.raises(Killed):
        go(place, *overrides)
    assert len(steps) == at
    assert [path.suffix for path in checkpoints(place)] == [".ckpt"]
    assert not list(place.glob("runs/[!.]*"))  # nothing else is left behind
    between()
    return go(place, *overrides)


def same(one, other):
    """The same scores, predictions, weights and curves, bit for bit."""
    assert (one.key, one.metrics, one.curve, one.steps, one.tokens) == (
        other.key, other.metrics, other.curve, other.steps, other.tokens
    )  # fmt: skip
    for name in ("model.safetensors", "predictions-validation.parquet", "metrics.csv"):
        assert Path(one.folder, name).read_bytes() == Path(other.folder, name).read_bytes(), name


# Micro-batches behind which the run is killed, those of them that are in the checkpoint, and settings.
CASES = {
    "second epoch": (8, 8, ["optimizer.schedule=cosine", "optimizer.layer_decay=0.5", "head=weighted_sum",
                            "head.layers.n=2"]),
    "an epoch's last step": (5, 4, []),
    "words": (6, 6, ["task=entities", "head=ner"]),
    "within a step of two micro-batches": (5, 4, ["trainer.accumulate_grad_batches=2"]),
    "words in two micro-batches": (16, 16, ["task=entities", "head=ner", "trainer.accumulate_grad_batches=2"]),
    "before a validation within the epoch": (2, 1, ["trainer.val_check_interval=2"]),
    "an epoch's last step behind a validation": (5, 3, ["trainer.val_check_interval=2"]),
    "behind the last step": (7, 6, ["trainer.max_steps=7"]),
    "workers that are ahead": (8, 8, ["workers=1"]),
    "half precision": (8, 8, ["trainer.precision=bf16-true"]),
    "frozen encoder": (8, 8, ["encoder.frozen=true", "speed=exact"]),
    "encoder frozen up to a layer": (8, 8, ["encoder.frozen=1"]),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_run_that_was_killed_goes_on_as_if_it_had_not(case, tmp_path, steps, capsys):
    killed, kept, overrides = CASES[case]
    whole = go(tmp_path / "whole", *overrides)
    batches = list(steps)
    capsys.readouterr()
    again = interrupted(tmp_path / "killed", steps, killed, *overrides)
    accumulate = 2 if "trainer.accumulate_grad_batches=2" in overrides else 1
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 2
    assert said[0].startswith(f"going on from step {kept // accumulate} of {tmp_path}/killed/runs/.checkpoints/")
    assert steps == [*batches[:killed], *batches[kept:]]
    same(again, whole)
    assert not (tmp_path / "killed/runs/.checkpoints").exists()


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """A run of six steps in two epochs, in one go."""
    return go(tmp_path_factory.mktemp("short") / "whole", "task.rows.train=48")


@pytest.mark.parametrize("step", range(1, 7))
def test_killed_behind_any_step_the_weights_are_the_same(step, short, tmp_path, steps):
    again = interrupted(tmp_path / "killed", steps, step, "task.rows.train=48")
    weights, expected = (load_file(Path(one.folder, "model.safetensors")) for one in (again, short))
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], expected[name]) for name in weights)
    same(again, short)


def test_no_row_is_left_out_or_seen_twice(tmp_path, steps):
    interrupted(tmp_path, steps, 8)
    assert sorted(row for epoch, rows, _ in steps if epoch == 1 for row in rows) == list(range(80))


def test_a_process_that_was_killed_while_it_worked_leaves_what_the_next_one_needs(tmp_path):
    overrides = ["task.rows.train=240"]  # 15 steps in an epoch
    whole = go(tmp_path / "whole", *overrides)
    place = tmp_path / "killed"
    settings = [*SMALL, *overrides, f"output_dir={place}/runs", f"cache_dir={tmp_path}/cache"]
    process = Forked("train", settings, ROOT)
    while process.poll() is None and not list(place.glob("runs/.checkpoints/*.ckpt")):
        time.sleep(0.001)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    same(go(place, *overrides), whole)
    assert [path.name for path in place.glob("runs/*/*/*")] == [Path(whole.folder).name]
    assert not (place / "runs/.checkpoints").exists()


def test_a_process_that_is_told_to_end_writes_a_checkpoint_first(usual, tmp_path, steps, capsys):
    whole, _ = usual
    place, rarely = tmp_path / "killed", "checkpoint_minutes=60"
    steps.ended_at = 7
    with pytest.raises(SystemExit):
        go(place, rarely)
    assert len(steps) == 8
    capsys.readouterr()
    same(go(place, rarely), whole)
    assert capsys.readouterr().out.startswith("going on from step 8 of ")


def broken(path):
    path.write_bytes(path.read_bytes()[:-1000])


def of_other_code(path):
    checkpoint = torch.load(path)
    checkpoint["run"]["stamp"] = "0" * 64
    torch.save(checkpoint, path)


def of_another_layout(path):
    torch.save({"epoch": 0}, path)


@pytest.mark.parametrize(
    ("change", "why"),
    [(broken, "cannot be read"), (of_other_code, "other code or data made"), (of_another_layout, "cannot be read")],
)
def test_a_checkpoint_that_cannot_be_used_is_told_of_and_the_run_starts_anew(
    change, why, usual, tmp_path, steps, capsys
):
    whole, batches = usual
    place = tmp_path / "killed"
    interrupted(place, steps, 3, between=lambda: change(*checkpoints(place)))
    assert steps[3:] == batches
    line = capsys.readouterr().out.splitlines()[-2]
    assert line.startswith(f"starting from the beginning: {why}")
    same(read_result(*place.glob("runs/*/*/*")), whole)


def test_code_of_a_head_belongs_to_what_a_checkpoint_must_fit(tmp_path, steps, monkeypatch, capsys):
    module = tmp_path / "my_pool.py"
    module.write_text("from head2head.model.heads.pooling import Mean\nclass MyMean(Mean):\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    mine = ["head.pool._target_=my_pool.MyMean", "trust=my_pool"]
    interrupted(tmp_path / "a", steps, 3, *mine)
    assert capsys.readouterr().out.startswith("going on")
    edit = lambda: module.write_text(module.read_text() + "# edited\n")  # noqa: E731
    interrupted(tmp_path / "b", steps, 3, *mine, between=edit)
    assert "going on" not in capsys.readouterr().out  # a pool with other code is another run


def test_a_run_does_not_go_on_without_the_compiler_that_it_began_with(tmp_path, steps, monkeypatch, capsys):
    def lose():
        monkeypatch.setenv("CC", "/nowhere/cc")
        library.attempt.cache_clear()

    interrupted(tmp_path, steps, 3, between=lose)
    library.attempt.cache_clear()
    said = capsys.readouterr()
    assert "compiled layers: no C compiler (/nowhere/cc) was found" in said.err
    assert said.out.splitlines()[-2].startswith("starting from the beginning: other code")
    (result,) = tmp_path.glob("runs/*/*/*")
    assert any(note.startswith("compiled layers: no C compiler") for note in read_result(result).notes)


def test_training_up_to_the_checkpoint_counts_in_the_time(tmp_path, steps):
    def a_long_time():
        (path,) = checkpoints(tmp_path)
        checkpoint = torch.load(path)
        checkpoint["run"]["seconds"] += 1000
        torch.save(checkpoint, path)

    result = interrupted(tmp_path, steps, 3, between=a_long_time)
    assert 1000 < result.seconds["train"] < result.seconds["total"]
    assert result.tokens_per_second == pytest.approx(result.tokens / result.seconds["train"])


def test_without_the_setting_nothing_is_written_and_nothing_read(tmp_path, steps, capsys):
    def go_on():
        steps.clear()
        go(tmp_path, "checkpoint_minutes=null")

    interrupted(tmp_path, steps, 3, between=go_on)
    assert len(steps) == 20  # both started at the beginning: a finished run takes its checkpoint away
    assert "going on" not in capsys.readouterr().out
    steps.clear()
    steps.killed_at = 3
    with pytest.raises(Killed):
        go(tmp_path, "checkpoint_minutes=null")
    assert not checkpoints(tmp_path)


def test_a_run_that_diverges_leaves_no_checkpoint(tmp_path, monkeypatch):
    def diverge(_):
        assert checkpoints(tmp_path)
        raise Diverged("the training loss is nan")

    monkeypatch.setattr(FineTuner, "on_validation_start", diverge)
    with pytest.raises(Diverged):
        go(tmp_path)
    assert not checkpoints(tmp_path)


def test_a_checkpoint_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/.checkpoints").touch()
    with pytest.raises(UserError, match=r"checkpoint_minutes: .*\.ckpt cannot be written: .*exists"):
        go(tmp_path)


@pytest.mark.parametrize("minutes", ["0", "-1", "often", "true", ".nan"])
def test_minutes_are_a_number_above_0(minutes, tmp_path):
    with pytest.raises(UserError, match=r"checkpoint_minutes=.*: minutes, above 0, or null"):
        go(tmp_path, f"checkpoint_minutes={minutes}")
