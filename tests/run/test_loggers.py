"""Curves go to metrics.csv and, when asked for, to TensorBoard and Weights & Biases (here offline)."""

import socket
import warnings
from pathlib import Path

import pandas as pd
import psutil
import pytest
import pytorch_lightning as pl

import wandb_file
from composed import compose
from head2head.model.finetuner import Diverged
from head2head.model.step import log_interval
from head2head.run import loggers
from head2head.run.run import run

SMALL = [
    "encoder=random-tiny",
    "trainer.max_epochs=1",
    "trainer.accelerator=cpu",
    "trainer.enable_progress_bar=false",
    "task.rows.train=64",
    "task.rows.validation=100",
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
    assert [event.value for event in events.Scalars("epoch")] == [1.0] * 3  # as on the console
    assert events.Scalars("baseline")[-1].value == result.baseline["validation"]["accuracy"]
    table = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    for shown in (b"agreement", b"random-tiny", b"pool", b"mean"):
        assert shown in table


def test_each_run_is_an_offline_wandb_run_of_its_own_and_the_user_is_told(tmp_path, capsys):
    import wandb

    for seed in (1, 2):
        go(tmp_path, "logger=wandb", f"seed={seed}", "logger.tags=[smoke]")
        assert wandb.run is None  # finished: the next run in this process gets one of its own
    printed = capsys.readouterr().out
    assert "W&B: offline (WANDB_MODE=offline); send it later with: wandb sync" in printed
    assert len(list((tmp_path / "runs").glob("agreement/mean/*/wandb/offline-run-*/run-*.wandb"))) == 2


def test_wandb_has_the_resolved_configuration_under_a_key_of_its_own(tmp_path):
    result = go(tmp_path, "logger=wandb", "logger.tags=[mine]", "experiment=trial")
    (path,) = (tmp_path / "runs").glob("agreement/mean/*/wandb/offline-run-*/run-*.wandb")
    stored = wandb_file.read_finished(path)
    assert stored["config"]["resolved"]["seed"] == 0
    assert stored["config"]["key"] == result.key
    assert {"train/loss", "train/lr", "validation/accuracy", "score"} <= set(stored["history"])
    summary = stored["summary"]
    assert summary["score"] == pytest.approx(result.score)
    assert summary["baseline"] == result.baseline["validation"]["accuracy"]
    assert summary["collapsed"] is result.collapsed
    assert summary["above_baseline"] is result.above_baseline
    assert summary["epoch"] == 1
    run = stored["run"]
    assert (run.run_group, run.job_type, run.display_name) == ("trial", "mean", "agreement/mean/0")
    assert set(run.tags) == {"trial", "agreement", "mean", "mine"}
    assert stored["exit"] == 0


def test_wandb_has_what_runs_are_grouped_by_under_plain_names(tmp_path):
    go(tmp_path, "logger=wandb", "head=weighted_sum", "head.layers.n=2", "head/classifier=mlp", "logger.job_type=mine")
    (path,) = (tmp_path / "runs").glob("agreement/*/*/wandb/offline-run-*/run-*.wandb")
    stored = wandb_file.read_finished(path)
    expected = {
        "task": "agreement", "head": "weighted_sum_n_2-mean-mlp", "layers": "weighted_sum_n_2", "pool": "mean",
        "classifier": "mlp", "encoder": "random-tiny", "encoder_frozen": False, "seed": 0,
    }  # fmt: skip
    assert {name: stored["config"][name] for name in expected} == expected
    assert (stored["run"].run_group, stored["run"].job_type) == ("", "mine")


def test_the_values_of_a_wandb_sweep_stay_and_nothing_is_warned_of(tmp_path, capfd, monkeypatch):
    import wandb

    given = tmp_path / "given.yaml"  # as an agent writes it
    given.write_text("wandb_version: 1\nhead: {value: mean}\nencoder: {value: random-tiny}\ntask: {value: agreement}\n")
    monkeypatch.setenv("WANDB_SWEEP_ID", "abc")
    monkeypatch.setenv("WANDB_SWEEP_PARAM_PATH", str(given))
    wandb.teardown()  # what it read of the environment before
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        go(tmp_path, "logger=wandb", "head/layers=embeddings")
    wandb.teardown()  # it keeps the sweep's settings
    (path,) = (tmp_path / "runs").glob("agreement/*/*/wandb/offline-run-*/run-*.wandb")
    stored = wandb_file.read_finished(path)["config"]
    assert (stored["head"], stored["layers"], stored["encoder"]) == ("mean", "embeddings", "random-tiny")
    told = capfd.readouterr()
    assert "locked" not in told.err + told.out
    assert "warning" not in (told.err + told.out).lower()


def test_a_short_run_has_a_curve_and_a_long_one_no_more_points_than_were_asked_for(tmp_path):
    few = go(tmp_path, "trainer.log_every_n_steps=10", "batch_size=8", "optimizer.head_lr=1e-3", "optimizer.lr=1e-4")
    curve = pd.read_csv(f"{few.folder}/metrics.csv").dropna(subset="train/loss")
    assert curve["step"].tolist() == list(range(few.steps)) == list(range(8))
    # Linear decay after a warm-up of a step, of both rates alike.
    assert curve["train/lr"].tolist() == pytest.approx([0, *(1e-4 * left / 7 for left in range(7, 0, -1))])
    assert curve["train/head_lr"].tolist() == pytest.approx([10 * rate for rate in curve["train/lr"]])
    assert [log_interval(10, steps) for steps in (1, 8, 100, 249, 500, 10**6)] == [1, 1, 2, 4, 10, 10]
    assert log_interval(0, 8) == 0


def test_a_run_that_diverges_is_marked_failed_at_wandb(tmp_path):
    with pytest.raises(Diverged):
        go(tmp_path, "logger=wandb", "optimizer.lr=1e30")
    (path,) = (tmp_path / "runs").glob("agreement/mean/*/wandb/offline-run-*/run-*.wandb")
    assert wandb_file.read_finished(path)["exit"] == 1


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


@pytest.fixture
def silent_server(monkeypatch):
    """A server that takes connections and never answers, as W&B's."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=64)
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{listening.getsockname()[1]}")
    monkeypatch.setenv("WANDB_API_KEY", "0123456789" * 4)
    monkeypatch.setenv("WANDB_INIT_TIMEOUT", "3")
    yield
    listening.close()


@pytest.mark.usefixtures("silent_server")
def test_a_wandb_that_does_not_answer_is_done_without(tmp_path, capsys):
    result = go(tmp_path, "logger=wandb")
    assert "W&B: offline (" in capsys.readouterr().out
    assert result.score is not None
    assert len(list((tmp_path / "runs").glob("agreement/mean/*/wandb/offline-run-*/run-*.wandb"))) == 1


class KillsWandb(pl.Callback):
    """Takes W&B's process down half way."""

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if batch_idx == 1:
            for child in psutil.Process().children(recursive=True):
                if "wandb" in child.name():
                    child.kill()


def test_a_wandb_that_dies_half_way_costs_its_curves_alone(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("WANDB_FINISH_TIMEOUT", "3")
    whole = go(tmp_path / "whole")
    settings = [*SMALL, f"output_dir={tmp_path}/killed/runs", "logger=wandb"]
    result = run(compose(settings), settings, [KillsWandb()])
    assert result.metrics == whole.metrics
    assert len(Path(result.folder, "metrics.csv").read_text().splitlines()) > 1
    assert "W&B: " in capsys.readouterr().err
    after = [*settings, "seed=2"]  # the next run of the same process
    folder = Path(run(compose(after), after).folder)
    (path,) = folder.glob("wandb/offline-run-*/*.wandb")
    assert wandb_file.read_finished(path)["config"]["seed"] == 2
    assert "W&B: " not in capsys.readouterr().err
