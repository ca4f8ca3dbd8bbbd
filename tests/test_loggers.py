"""Curves go to metrics.csv and, when asked for, to TensorBoard and Weights & Biases (here offline)."""

import json
import struct

import pytest

from head2head import loggers
from head2head.configuration import compose
from head2head.run import run

SMALL = [
    "encoder=random-tiny",
    "trainer.max_epochs=1",
    "trainer.accelerator=cpu",
    "trainer.enable_progress_bar=false",
    "task.train_rows=64",
    "threads=1",
    "trainer.log_every_n_steps=1",
    "save_model=false",
]


def go(tmp_path, *overrides):
    return run(compose([*SMALL, f"output_dir={tmp_path}/runs", *overrides]))


def test_tensorboard_events_hold_the_curves(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    result = go(tmp_path, "logger=tensorboard")
    (folder,) = (tmp_path / "runs").glob("agreement/mean/*/tensorboard")
    events = EventAccumulator(str(folder)).Reload()
    assert events.Scalars("validation/accuracy")[-1].value == pytest.approx(result.score)
    assert events.Scalars("score")[-1].value == pytest.approx(result.score)


def test_each_run_is_an_offline_wandb_run_of_its_own_and_the_user_is_told(tmp_path, capsys):
    import wandb

    for seed in (1, 2):
        go(tmp_path, "logger=wandb", f"seed={seed}", "logger.tags=[smoke]")
        assert wandb.run is None  # finished: the next run in this process gets one of its own
    printed = capsys.readouterr().out
    assert "W&B: offline (WANDB_MODE=offline); send it later with: wandb sync" in printed
    assert len(list((tmp_path / "runs").glob("agreement/mean/*/wandb/offline-run-*/run-*.wandb"))) == 2


def wandb_records(path):
    """The records of an offline run's file: a LevelDB log of 32 KiB blocks behind a header of 7 bytes."""
    content, position, whole = path.read_bytes(), 7, b""
    while position < len(content):
        if 32768 - position % 32768 < 7:  # too little is left in the block for a record's head
            position += 32768 - position % 32768
        length, kind = struct.unpack("<HB", content[position + 4 : position + 7])
        whole += content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            yield whole
            whole = b""


def test_wandb_has_the_resolved_configuration_under_a_key_of_its_own(tmp_path):
    from wandb.proto import wandb_internal_pb2

    result = go(tmp_path, "logger=wandb")
    (path,) = (tmp_path / "runs").glob("agreement/mean/*/wandb/offline-run-*/run-*.wandb")
    configuration, history = {}, []
    for data in wandb_records(path):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        for update in [*record.run.config.update, *record.config.update]:
            configuration[update.key or "/".join(update.nested_key)] = json.loads(update.value_json)
        history += [item.key or "/".join(item.nested_key) for item in record.history.item]
    assert configuration["resolved"]["seed"] == 0
    assert configuration["key"] == result.key
    assert "head" not in configuration  # a sweep's own key stays free
    assert {"train/loss", "validation/accuracy", "score"} <= set(history)


def test_without_login_wandb_goes_offline(monkeypatch, tmp_path):
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    assert loggers.unreachable() == "no login; log in with: wandb login"


def test_without_network_wandb_goes_offline(monkeypatch):
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    assert loggers.unreachable() == "127.0.0.1 cannot be reached"


def test_a_run_without_login_is_an_offline_run_and_the_next_one_is_asked_anew(monkeypatch, tmp_path, capsys):
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    for seed in (1, 2):
        go(tmp_path, "logger=wandb", f"seed={seed}")
    assert capsys.readouterr().out.count("W&B: offline (no login; log in with: wandb login)") == 2
    assert len(list((tmp_path / "runs").glob("agreement/mean/*/wandb/offline-run-*/run-*.wandb"))) == 2
