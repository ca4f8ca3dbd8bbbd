"""Whole runs whose layers are recorded: on a CPU, where a replay is the work done again, against runs without."""

import pandas as pd
import pytest
import torch

from head2head import run as run_module
from head2head.compiled.stack import CompiledLayers
from head2head.configuration import compose
from head2head.encoder import Encoder
from head2head.graphs import stack
from head2head.graphs.stack import GraphedLayers, use_cuda_graphs
from head2head.packing import Packing
from head2head.run import run

EXACT = [
    "encoder=random-tiny", "+encoder.config.hidden_dropout_prob=0", "+encoder.config.attention_probs_dropout_prob=0",
    "trainer.precision=64-true", "trainer.accelerator=cpu", "trainer.enable_progress_bar=false", "threads=1",
    "trainer.max_epochs=2", "trainer.log_every_n_steps=1", "task.rows.train=100", "task.rows.validation=50",
    "batch_size=16", "fast_dropout=false",
]  # fmt: skip
RUNS = {
    "mean": ["head=mean"],
    "cls, last layer by the library": ["head=cls", "cls_shortcut=false"],
    "pooler": ["head=pooler"],
    "weighted_sum": ["head=weighted_sum", "head.layers.n=2"],
    "accumulated": ["head=mean", "trainer.accumulate_grad_batches=2"],
    "frozen below, kept": ["head=mean", "encoder.frozen=1"],
    "frozen below, run": ["head=mean", "encoder.frozen=1", "frozen_features=false"],
    "ner": ["task=entities", "head=ner"],
}


pytestmark = pytest.mark.usefixtures("on_a_gpu")


@pytest.fixture
def on_a_gpu(monkeypatch):
    """As if the run's device were one, where layers are recorded."""
    chosen = lambda encoder, *_: use_cuda_graphs(encoder, torch.device("cuda"), "32-true")  # noqa: E731
    monkeypatch.setattr(run_module, "use_cuda_graphs", chosen)
    monkeypatch.setattr(stack, "refused", lambda *_: None)


def curve(place, *overrides):
    overrides = [*EXACT, "compiled_layers=false", f"output_dir={place}/runs", f"cache_dir={place}/cache", *overrides]
    result = run(compose(overrides), overrides)
    losses = pd.read_csv(f"{result.folder}/metrics.csv")["train/loss"].dropna().to_list()
    return losses, result


@pytest.mark.parametrize("kind", RUNS)
def test_a_run_has_the_losses_and_scores_of_one_without(kind, tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(GraphedLayers, "__init__", kept(GraphedLayers.__init__, made))
    plain, expected = curve(tmp_path / "plain", *RUNS[kind])
    graphed, found = curve(tmp_path / "graphed", *RUNS[kind], "cuda_graphs=true")
    assert graphed == pytest.approx(plain, rel=1e-9)
    assert len(graphed) == 14
    assert found.score == expected.score
    assert found.notes == []
    (layers,) = made
    assert len(layers._recordings) >= 2


def kept(init, made):
    def with_it(self):
        made.append(self)
        init(self)

    return with_it


@pytest.mark.parametrize("layers", ["cuda_graphs=true", "compiled_layers=true"])
def test_what_layers_take_of_a_batch_is_made_before_it_goes_to_the_device(layers, tmp_path, monkeypatch):
    forward, of = Encoder.forward, Packing.of
    inside, seen = [], []

    def watched(self, *arguments):
        inside.append(self)
        try:
            return forward(self, *arguments)
        finally:
            inside.pop()

    def noted(mask):
        seen.append(bool(inside))
        return of(mask)

    monkeypatch.setattr(Encoder, "forward", watched)
    monkeypatch.setattr(Packing, "of", noted)
    _, result = curve(tmp_path, "head=mean", layers)
    if layers == "compiled_layers=true" and result.notes:
        pytest.skip(result.notes[0])
    assert seen == [False] * 14


def test_recorded_layers_take_the_place_of_compiled_ones(tmp_path, monkeypatch):
    used = []
    for kind in (CompiledLayers, GraphedLayers):
        monkeypatch.setattr(kind, "__call__", noted(kind.__call__, used))
    curve(tmp_path, "head=mean", "compiled_layers=true", "cuda_graphs=true")
    assert set(used) == {GraphedLayers}


def noted(call, used):
    def with_it(self, *arguments):
        used.append(type(self))
        return call(self, *arguments)

    return with_it
