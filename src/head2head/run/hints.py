"""What people type for a setting, and what it is called here. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Collection

from head2head.errors import did_you_mean

# Names that other programs have, and short ones that stand for several settings here.
CALLED = {
    **dict.fromkeys(("lr", "learning_rate"), "optimizer.lr"),
    **dict.fromkeys(("epochs", "num_epochs", "num_train_epochs"), "trainer.max_epochs"),
    "steps": "trainer.max_steps",
    "warmup": "optimizer.warmup_ratio",
    **dict.fromkeys(("batch", "train_batch_size", "per_device_train_batch_size"), "batch_size"),
    **dict.fromkeys(("model", "bert", "model_name", "model_name_or_path"), "encoder"),
    **dict.fromkeys(("dataset", "task_name"), "task"),
    **dict.fromkeys(("train", "train_file"), "task.train"),
    **dict.fromkeys(("validation", "validation_file", "valid", "val", "dev", "eval"), "task.validation"),
    **dict.fromkeys(("test", "test_file"), "task.test"),
    "max_seq_length": "task.max_length",
    **dict.fromkeys(("pool", "pooling"), "head/pool"),
    "layers": "head/layers",
    "classifier": "head/classifier",
    **dict.fromkeys(("freeze", "freeze_encoder"), "encoder.frozen"),
    **dict.fromkeys(("gpus", "num_gpus"), "trainer.devices"),
    "device": "trainer.accelerator",
    "fp16": "trainer.precision",
    "output": "output_dir",
}
# An encoder's outputs, by TF Hub's names and those of transformers: the head that one is by itself, else what reads it.
HEAD_OF = dict.fromkeys(("pooled_output", "default", "pooler_output"), "pooler")
_TOKENS = (
    "one vector a word piece, from the last layer, which heads pool into one: cls, mean, max, sqrt_mean, mean_max, "
    "attention; of words, ner"
)
_LAYERS = (
    "every layer's output, of which weighted_sum, concat_last4 and first_last read several and second_to_last one; of "
    "words, ner_weighted_sum and ner_concat_last4; head/layers=layer head.layers.index=N reads any"
)
READ_BY = {
    **dict.fromkeys(("sequence_output", "last_hidden_state"), _TOKENS),
    **dict.fromkeys(("encoder_outputs", "hidden_states"), _LAYERS),
    "attentions": "how tokens attend to each other within the layers, which no head reads (head2head outputs TEXT "
    "--plot DIR draws it); head=attention is something else: a pool that learns to weigh the last layer's tokens",
}
OWN_FILES = frozenset({"task.train", "task.validation", "task.test"})


def full_name(name: str, known: Collection[str] = ()) -> str | None:
    """The setting that is meant by a name which is none; None where that is not clear.

    Args:
        known: names of settings; `max_length` is meant for the only one that ends in it.
    """
    plain = name.replace("-", "_").lower()
    if plain in CALLED or plain in OWN_FILES:
        return CALLED.get(plain, plain)
    if plain in known:
        return plain
    ends = [setting for setting in known if re.split(r"[./]", setting)[-1] == plain]
    return ends[0] if len(ends) == 1 else None


def hint(name: str, known: Collection[str]) -> str:
    """A clause that follows ``unknown setting NAME; ``."""
    found = full_name(name, known)
    if found in OWN_FILES and found not in known:
        meant = f"did you mean {found}? " if found != name else ""
        return f"{meant}it belongs to task=table (texts) and task=conll (words with tags)"
    if found is not None:
        return f"did you mean {found}?"
    near = did_you_mean(name, known)
    return near if near.startswith("did you mean") else "see --help"
