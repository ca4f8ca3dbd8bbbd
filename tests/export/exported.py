"""Finished runs of small encoders, for tests that hand them on."""

import dataclasses
import functools
from pathlib import Path

import torch
import yaml
from safetensors.torch import load_file, save_file

from composed import compose
from head2head.model.build import build_model
from head2head.model.heads.standardization import Standardization
from head2head.run.key import complete, identify
from head2head.run.load import LoadedRun, load_run
from head2head.run.record import save_weights
from head2head.run.result import Result, run_folder, write_result
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
WORDS = [["ann", "smith", "went", "there", "."], ["pear"], ["U.S.", "the", "old", "box", "red"] * 3]


def settings(place: Path, head: str, *overrides: str) -> list[str]:
    task = ["task=entities"] if head.startswith("ner") else []
    return [*SMALL, f"head={head}", *task, f"output_dir={place}/runs", f"cache_dir={place}/cache", *overrides]


def finished(place: Path, head: str, *overrides: str) -> Path:
    """Folder of a run that has taken two steps."""
    typed = settings(place, head, *overrides)
    result = run(compose(typed), typed)
    assert result.folder is not None
    return Path(result.folder)


def made_up(place: Path, template: Result, head: str, *overrides: str) -> Path:
    """Folder like that of a run, with made-up weights in place of trained ones, which takes a tenth of the time.

    Args:
        template: result of a run, for all that a model does not depend on.
    """
    config = compose(settings(place, head, *overrides))
    identity = identify(config)
    config = complete(config, identity.task)
    model = build_model(config, identity.task, identity.seed)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.1 * torch.randn(weight.shape, generator=generator) * weight.requires_grad
        for part in model.head.modules():
            if isinstance(part, Standardization):
                part.mean.copy_(torch.randn(part.mean.shape, generator=generator))
                part.scale.copy_(0.5 + torch.rand(part.scale.shape, generator=generator))
    with run_folder(identity.parent, identity.name) as folder:
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        save_weights(model, folder / "model.safetensors")
        result = dataclasses.replace(
            template, key=identity.key, config=config, task=identity.task.name, head=identity.head, seed=identity.seed,
            encoder=model.encoder.checkpoint_sha256,
        )  # fmt: skip
        write_result(result, folder)
    return folder


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
