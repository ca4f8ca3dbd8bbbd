"""A disk that fills while a run is written: one line, nothing half-written, and what is needed to go on is kept."""

import errno
import os
from pathlib import Path

import pyarrow.parquet
import pytest
import torch
import yaml
from pytorch_lightning.loggers import CSVLogger

from composed import compose
from head2head import files
from head2head.errors import Unwritable, UserError
from head2head.experiments import ResultsFile
from head2head.run import record
from head2head.run import result as results
from head2head.run.result import read_result
from head2head.run.run import run
from head2head.sweep.job import as_result

SMALL = ["encoder=random-tiny", "trainer.max_epochs=2", "trainer.accelerator=cpu", "trainer.enable_progress_bar=false",
         "threads=1", "task.rows.train=64", "task.rows.validation=40", "batch_size=16", "checkpoint_minutes=1e-9",
         "trainer.log_every_n_steps=1"]  # fmt: skip


def go(place, *overrides):
    return run(compose([*SMALL, f"output_dir={place}/runs", f"cache_dir={place.parent}/cache", *overrides]))


def full(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def only_for(name, method):
    """Fails for files of that name."""
    return lambda path, *rest: full() if path.name == name else method(path, *rest)


WRITES = {
    "config.yaml": lambda patch: patch.setattr(yaml, "safe_dump", full),
    "metrics.csv": lambda patch: patch.setattr(CSVLogger, "save", full),
    "predictions": lambda patch: patch.setattr(pyarrow.parquet, "write_table", full),
    "weights": lambda patch: patch.setattr(record, "save_weights", full),
    "result.json": lambda patch: patch.setattr(
        results, "write_atomically", only_for("result.json", files.write_atomically)
    ),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing was in the way of; not to be changed."""
    torch.set_num_threads(1)
    return go(tmp_path_factory.mktemp("whole") / "place")


@pytest.mark.parametrize("write", WRITES)
def test_each_write_that_fails_is_one_line_and_the_run_goes_on_when_there_is_room(write, whole, tmp_path, capsys):
    place = tmp_path / "full"
    with pytest.MonkeyPatch.context() as patch:
        WRITES[write](patch)
        with pytest.raises(
            Unwritable, match=rf"^output_dir: {place}/runs/.* cannot be written: No space left"
        ) as error:
            go(place)
    assert "\n" not in str(error.value)
    assert not list(place.glob("runs/[!.]*"))  # nothing half-written
    trained = write != "config.yaml"
    assert len(list(place.glob("runs/.checkpoints/*.ckpt"))) == trained
    capsys.readouterr()
    again = go(place)
    assert capsys.readouterr().out.startswith("going on from step ") is trained
    assert (again.metrics, again.curve) == (whole.metrics, whole.curve)
    for name in ("model.safetensors", "predictions-validation.parquet"):
        assert Path(again.folder, name).read_bytes() == Path(whole.folder, name).read_bytes()


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(tmp_path, monkeypatch):
    saved, save = [], torch.save

    def third_fails(*arguments):
        saved.append(1)
        if len(saved) == 3:
            raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0")
        save(*arguments)

    monkeypatch.setattr(torch, "save", third_fails)
    with pytest.raises(Unwritable, match=r"^checkpoint_minutes: .* cannot be written: .*; make room there"):
        go(tmp_path)
    (left,) = tmp_path.glob("runs/.checkpoints/*")
    assert torch.load(left, weights_only=True)["global_step"] == 2


def test_results_of_an_experiment_stay_as_they_were(tmp_path, monkeypatch):
    done = read_result(Path(go(tmp_path).folder))
    place = ResultsFile(tmp_path / "experiment/results.jsonl")
    place.add(done)
    before = place.path.read_bytes()
    done.key = "0" * 64
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Unwritable, match=r"results\.jsonl cannot be written: No space left on device; make room there"):
        place.add(done)
    assert place.path.read_bytes() == before
    assert [path.name for path in place.path.parent.glob("[!.]*")] == ["results.jsonl"]
    assert len(ResultsFile(place.path).read()) == 1


def test_a_full_disk_is_not_a_runs_own_failure():
    with pytest.raises(Unwritable):
        as_result(None, Unwritable("no room"))


def test_a_disk_that_may_not_be_written_for_other_reasons_is_a_mistake():
    told = files.cannot_be_written("x", OSError(errno.EACCES, "Permission denied"))
    assert (type(told), str(told)) == (UserError, "x cannot be written: Permission denied")


@pytest.mark.parametrize("setting", ["output_dir", "cache_dir"])
@pytest.mark.parametrize("head", ["head=mean", "encoder.frozen=true"])
def test_a_small_disk_is_filled_in_one_line_and_the_run_is_done_when_there_is_room(setting, head, small_disk, tmp_path):
    from head2head.frozen.dispatch import run_one

    disk, make_room = small_disk
    (disk / "filling").write_bytes(b"x" * (2 * 2**20 - 3 * 4096))
    places = {"output_dir": f"{tmp_path}/runs", "cache_dir": f"{tmp_path}/cache"} | {setting: f"{disk}/x"}
    settings = [*SMALL, head, *(f"{name}={place}" for name, place in places.items())]
    with pytest.raises(Unwritable, match=f"{setting}|checkpoint_minutes") as error:
        run_one(compose(settings))
    assert "\n" not in str(error.value)
    make_room()
    assert run_one(compose(settings)).failed is None
