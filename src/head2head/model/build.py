"""What a configuration describes, built: head, encoder, model and data. Whoever needs one of them gets it here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.errors import InstantiationException

from head2head.data.datamodule import DataModule
from head2head.data.task import Task
from head2head.errors import UserError
from head2head.model.checkpoint import Checkpoint, load_encoder
from head2head.model.encoder import Encoder
from head2head.model.exact import ExactSettings, is_exact
from head2head.model.finetuner import FineTuner, Targets
from head2head.model.heads import Comparison, Cosine, Differences, SentenceHead, Similarity, TokenHead
from head2head.model.optimizer import OptimizerSettings
from head2head.model.trusted import instantiate
from head2head.seeds import seeded


def build_model(config: dict[str, Any], task: Task, seed: int) -> FineTuner:
    """Encoder and head with the weights that training starts from.

    Args:
        task: what the model is trained on; its predictions have no targets yet.

    Raises:
        UserError: they do not fit together, or cannot be had.
    """
    parts = {name: config[name] for name in ("encoder", "head", "optimizer")}
    compare = comparison_of(task).__name__
    model = BuiltModel(parts, list(task.labels), list(task.metrics), seed, compare, config.get("trust"))
    check_length(task, model.encoder)
    return model


class BuiltModel(FineTuner):
    """A FineTuner made of settings, which its checkpoints hold: `BuiltModel.load_from_checkpoint(PATH)` in plain
    Lightning needs nothing else but the encoder that it started from within reach.

    Args:
        config: the configuration's `encoder`, `head` and `optimizer`, resolved, as plain dicts.
        labels: names of the labels; empty for regression.
        compare: name of what the head makes of its texts' vectors (`model.heads.pairs`).
        trust: packages of the user's whose classes may be built. Not read from checkpoints, which may be strangers'.
    """

    def __init__(
        self,
        config: dict[str, Any],
        labels: Sequence[str],
        metrics: Sequence[str],
        seed: int,
        compare: str = "Comparison",
        trust: Sequence[str] | str | None = None,
    ):
        settings, checkpoint = optimizer_settings(config), checkpoint_of(config)
        outputs = len(labels) or 1
        head = build_head(config | {"trust": trust}, checkpoint, outputs, seed, COMPARISONS[compare], labels)
        with seeded(seed, "pooler"):
            encoder = load_encoder(
                checkpoint, head.needs, config["encoder"]["frozen"], config["encoder"]["reinit_pooler"]
            )
        super().__init__(encoder, head, labels, metrics, {}, seed, settings)
        self._made_of = {
            "config": config, "labels": list(labels), "metrics": list(metrics), "seed": seed, "compare": compare
        }  # fmt: skip

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        checkpoint[self.CHECKPOINT_HYPER_PARAMS_KEY] = self._made_of


COMPARISONS: dict[str, type[Comparison]] = {kind.__name__: kind for kind in (Comparison, Differences, Cosine)}


def checkpoint_of(config: dict[str, Any]) -> Checkpoint:
    """Where the configured encoder comes from."""
    return Checkpoint(*(config["encoder"].get(name) for name in ("name", "revision", "config", "dropout")))


def build_head(
    config: dict[str, Any],
    checkpoint: Checkpoint,
    num_outputs: int,
    seed: int,
    compare: type[Comparison] = Comparison,
    labels: Sequence[str] = (),
) -> SentenceHead | TokenHead:
    """The configured head with weights drawn from a stream of its own.

    Args:
        compare: what a sentence head makes of its texts' vectors; a cosine leaves nothing to classify.
        labels: their names, for a classifier of words that makes use of them.

    Raises:
        UserError: its parts do not fit together, or may not be built.
    """
    try:
        build = instantiate(config["head"], config.get("trust"), _partial_=True, _convert_="all")
    except InstantiationException as error:
        raise UserError(f"head: {' '.join(str(error).split())}") from error
    pairs: dict[str, Any] = {} if compare is Comparison else {"compare": compare}
    if compare is Cosine:
        pairs["classifier"] = Similarity
    try:
        with seeded(seed, "head"):
            head = build(encoder=checkpoint.spec(), num_labels=num_outputs, **pairs)
    except (TypeError, ValueError) as error:
        raise UserError(f"head: {' '.join(str(error).split())}") from error
    if isinstance(head, TokenHead):
        head.classifier.name_labels(labels)
    return head


def comparison_of(task: Task) -> type[Comparison]:
    """What a head for a task makes of its texts' vectors."""
    if not task.apart:
        return Comparison
    return Cosine if task.regression else Differences


def set_label_range(head: SentenceHead | TokenHead, data: DataModule) -> None:
    """Give a head that predicts similarity the range of the training labels; other heads do not ask for it."""
    labels = data.splits["train"].labels
    if isinstance(head.classifier, Similarity) and labels is not None:
        head.classifier.set_range(labels.min(), labels.max())


def check_length(task: Task, encoder: Encoder) -> None:
    """Check that the encoder can read the task's texts.

    Raises:
        UserError: it has too few positions.
    """
    if task.max_length > encoder.max_length:
        raise UserError(
            f"task.max_length={task.max_length}: the encoder reads at most {encoder.max_length} word pieces"
        )


def optimizer_settings(config: dict[str, Any]) -> OptimizerSettings | ExactSettings:
    """The configured settings of the optimizer.

    Raises:
        UserError: unknown ones, or values that cannot be.
    """
    kind = ExactSettings if is_exact(config) else OptimizerSettings
    try:
        return kind(**config["optimizer"])
    except TypeError as error:
        raise UserError(f"optimizer: {str(error).removeprefix(f'{kind.__name__}.__init__() ')}") from error


def build_data(config: dict[str, Any], task: Task, seed: int, splits: Sequence[str]) -> DataModule:
    """Some splits of a task, as the configured encoder's tokenizer cuts them up.

    Args:
        seed: of the order of training batches.

    Raises:
        UserError: they cannot be read.
    """
    data = DataModule(
        task,
        checkpoint_of(config).tokenizer(words=task.kind == "token"),
        seed,
        config["batch_size"],
        config["evaluation_tokens"],
        Path(config["cache_dir"]),
        config["workers"],
    )
    data.load(splits)
    return data


def targets_of(data: DataModule, splits: Sequence[str]) -> dict[str, Targets]:
    """What predictions on some loaded splits are compared with."""
    found = ((name, data.splits[name]) for name in splits)
    return {name: Targets(split.labels, split.num_predictions, split.sentences) for name, split in found}
