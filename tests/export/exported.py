"""Finished runs of small encoders, for tests that hand them on."""

import functools
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from head2head.run.configuration import compose
from head2head.run.load import LoadedRun, load_run
from head2head.run.run import run

SMALL = [
    *("encoder=random-tiny", "encoder.config.num_hidden_layers=4", "+encoder.config.initializer_range=0.3"),
    *("task.rows.train=24", "task.rows.validation=8", "optimizer.lr=0.05", "trainer.max_steps=2"),
    *("trainer.accelerator=cpu", "trainer.enable_progress_bar=false", "threads=1"),
]
TEXTS = [
    "a",
    "the pear and the apple are there",
    " ".join(["the hammers near the old box are red ."] * 9),
    "Zürich, 3.5%!",
]
WORDS = [["ann", "smith", "went", "there", "."], ["pear"], ["U.S.", "the", "old", "box", "red"] * 6]


def finished(place: Path, head: str, *overrides: str) -> Path:
    """Folder of a run that has taken two steps."""
    task = ["task=entities"] if head.startswith("ner") else []
    overrides = (*SMALL, f"head={head}", *task, f"output_dir={place}/runs", f"cache_dir={place}/cache", *overrides)
    result = run(compose(overrides), overrides)
    assert result.folder is not None
    return Path(result.folder)


def change_weights(folder: Path, **changed: torch.Tensor) -> None:
    """Put other weights of the head into a run's folder, by their names in the head's layers."""
    path = folder / "model.safetensors"
    state = {name: tensor.clone() for name, tensor in load_file(path).items()}
    for name, value in changed.items():
        assert state[f"head.layers.{name}"].shape == value.shape
        state[f"head.layers.{name}"] = value
    save_file(state, path)


@functools.cache
def of_run(folder: Path) -> LoadedRun:
    """The run's model as training left it, standardisation included; read once."""
    loaded = load_run(folder)
    loaded.model.eval()
    return loaded
