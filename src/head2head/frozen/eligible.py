"""Which runs can read features instead of an encoder, and which of these can be trained together. Imports no torch."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from head2head.model.exact import is_exact

# What a group does as Lightning's Trainer would; with any other setting a run goes to the Trainer itself.
UNDERSTOOD: dict[str, tuple[Any, ...]] = {
    "devices": (1, "1"),
    "num_nodes": (1,),
    "strategy": ("auto",),
    "precision": ("32-true", "32", 32, "64-true", "64", 64, None),
    "accumulate_grad_batches": (1,),
    "gradient_clip_algorithm": (None, "norm", "value"),
    "check_val_every_n_epoch": (1,),
    "detect_anomaly": (False, None),
}
FREE = frozenset(
    {"max_epochs", "max_steps", "accelerator", "gradient_clip_val", "log_every_n_steps", "enable_progress_bar"}
)
HEADS = ("head2head.model.heads.SentenceHead", "head2head.model.heads.TokenHead")

# What runs of one group may differ in. The rest decides over features, batches, or how long they train.
OWN = frozenset({"head", "seed", "optimizer", "experiment", "logger", "output_dir", "save_model", "plan", "workers"})


def group_of(config: dict[str, Any]) -> str | None:
    """Name of the group that a run belongs to: runs with the same one can be trained together. None for a run that
    cannot, or shall not, read features. A classifier that is solved reads them whatever the other settings are.

    Args:
        config: the resolved configuration.
    """
    encoder = config["encoder"]
    if not is_exact(config) and not can_read_features(config):
        return None
    shared = {name: value for name, value in config.items() if name not in OWN}
    shared["encoder"] = {name: value for name, value in encoder.items() if name not in ("lr", "reinit_pooler")}
    return hashlib.sha256(json.dumps(shared, sort_keys=True, default=str).encode()).hexdigest()


def can_read_features(config: dict[str, Any]) -> bool:
    """Whether a run can be trained on features, as Lightning's Trainer would train it."""
    encoder, head = config["encoder"], config["head"]
    if config["speed"] != "fast" or encoder["frozen"] is not True or head["_target_"] not in HEADS:
        return False
    if config["early_terminate"] or config.get("profile") or not understood(config["trainer"]):
        return False
    return not (encoder["reinit_pooler"] and may_read_pooler(head))  # each seed has a pooler of its own


def may_read_pooler(head: dict[str, Any]) -> bool:
    """Whether a head reads pooler_output, or might: what a class of the user's own reads is not known without torch."""
    module, _, name = head.get("pool", {"_target_": HEADS[1]})["_target_"].rpartition(".")
    return name == "Pooler" or module.partition(".")[0] != "head2head"


def understood(trainer: dict[str, Any]) -> bool:
    """Whether a group can do what these settings of Lightning's Trainer ask for."""
    for name, value in trainer.items():
        if name in UNDERSTOOD:
            if value not in UNDERSTOOD[name]:
                return False
        elif name not in FREE and value is not None:
            return False
    return True


def learned_parts(head: dict[str, Any]) -> bool:
    """Whether a head learns anything before a linear classifier, or might: a class of the user's own is not known
    without torch. Those that do not can be solved (optimizer=exact)."""
    targets = [head["_target_"], *(head[part]["_target_"] for part in ("layers", "pool", "classifier") if part in head)]
    names = {target.rpartition(".")[2] for target in targets}
    own = any(not target.startswith("head2head.") for target in targets)
    return own or bool(names & {"WeightedSum", "Attention"}) or "Linear" not in names
