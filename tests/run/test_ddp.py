"""Two processes give the run of one: the same batches, normalised by the same number of labels."""

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from composed import compose
from forked import ROOT, Forked
from head2head.run.run import run

# float64 and no dropout: only the order of summation differs.
EXACT = [
    "encoder=random-tiny",
    "+encoder.config.hidden_dropout_prob=0",
    "+encoder.config.attention_probs_dropout_prob=0",
    "trainer.precision=64-true",
    "trainer.accelerator=cpu",
    "trainer.max_epochs=2",
    "trainer.log_every_n_steps=1",
    "trainer.enable_progress_bar=false",
    "task.rows.validation=100",
    "task.rows.train=95",  # the last batch of an epoch has one row: one process has none
    "batch_size=47",
    "threads=1",
]


@pytest.mark.parametrize(("task", "head", "frozen"), [("agreement", "mean", 0), ("entities", "ner", 1)])
def test_two_processes_give_the_loss_curve_and_scores_of_one(task, head, frozen, tmp_path):
    settings = [*EXACT, f"task={task}", f"head={head}", f"encoder.frozen={frozen}", f"cache_dir={tmp_path}/cache"]
    one = run(compose([*settings, f"output_dir={tmp_path}/one"]))
    devices = ["trainer.devices=2", "trainer.strategy=ddp", f"output_dir={tmp_path}/two"]
    two = Forked("train", [*settings, *devices], ROOT)
    _, err = two.communicate(timeout=300)
    assert two.returncode == 0, err
    curves = [pd.read_csv(path) for number in ("one", "two") for path in tmp_path.glob(f"{number}/*/*/*/metrics.csv")]
    assert len(curves) == 2  # one folder a run, not one a process
    losses = [curve["train/loss"].dropna().to_list() for curve in curves]
    assert len(losses[0]) == one.steps == 6
    assert losses[1] == pytest.approx(losses[0], rel=1e-6)
    scores = [curve[f"validation/{one.metric}"].dropna().to_list() for curve in curves]
    assert scores[0] == scores[1]
    weights = [load_file(path) for number in ("one", "two") for path in tmp_path.glob(f"{number}/*/*/*/*.safetensors")]
    assert weights[0].keys() == weights[1].keys()
    for name, tensor in weights[0].items():  # rows of word pieces that never occur are among them
        torch.testing.assert_close(weights[1][name], tensor, rtol=0, atol=1e-6, msg=name)
