"""A run whose classifier is solved (optimizer=exact), on the features that a run of its head would be trained on."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import nn

from head2head.data.folds import assign, strata
from head2head.data.task import Task
from head2head.errors import UserError
from head2head.frozen.batches import Batches
from head2head.frozen.eligible import HEADS, UNDERSTOOD
from head2head.frozen.frozen_run import FrozenRun
from head2head.frozen.single import entering, standardize
from head2head.frozen.training import validate
from head2head.metrics import score
from head2head.model.exact import ExactSettings, Solution, solve
from head2head.model.heads import Linear, SentenceHead, TokenHead


def check_solvable(config: dict, head: SentenceHead | TokenHead) -> None:
    """Check that there is nothing to learn before a linear classifier, and nothing random.

    Raises:
        UserError: there is.
    """
    encoder, trainer = config["encoder"], config["trainer"]
    if encoder["frozen"] is not True:
        raise UserError("optimizer=exact solves a classifier on a frozen encoder; add encoder.frozen=true")
    if encoder["reinit_pooler"] and head.needs.pooler:
        raise UserError("optimizer=exact reads the checkpoint's own pooler; leave out encoder.reinit_pooler")
    for name in ("precision", "devices", "num_nodes"):
        if trainer[name] not in UNDERSTOOD[name]:
            raise UserError(f"optimizer=exact with trainer.{name}={trainer[name]}: choose from: {UNDERSTOOD[name][0]}")
    for part in ("layers", "pool"):
        learning = getattr(head, part, None)
        if learning is not None and any(True for _ in learning.parameters()):
            name = type(learning).__name__
            raise UserError(f"optimizer=exact solves the classifier alone, and head/{part} ({name}) learns: train it")
    if type(head.classifier) is not Linear or config["head"]["_target_"] not in HEADS:
        name = type(head.classifier).__name__
        raise UserError(f"optimizer=exact solves a linear classifier, not {name}; add head/classifier=linear")


def solve_run(run: FrozenRun, batches: Mapping[str, Batches], task: Task) -> None:
    """Solve a run's classifier, and score the run.

    Args:
        batches: "train", and the validation splits.

    Raises:
        UserError: the training rows cannot be cut for the choice of the strength.
    """
    started = time.perf_counter()
    assert isinstance(run.settings, ExactSettings)
    output = run.model.head.classifier.output
    assert isinstance(output, nn.Linear)
    standardize(run.head, batches["train"])
    # numpy's products do not keep to torch's number of threads, and more than there are cores wait for each other.
    with threadpool_limits(torch.get_num_threads(), user_api="blas"):
        run.solution = solution(run, output, batches["train"], task, run.settings)
    classifier = run.solution.classifier
    with torch.no_grad():
        output.weight.copy_(torch.from_numpy(classifier.weight))
        output.bias.copy_(torch.from_numpy(classifier.bias))
    run.model.tokens_seen = int(batches["train"].rows.pieces.sum())
    began = time.perf_counter()
    validate(run, batches, epoch=1, step=0)
    run.converged = True
    run.seconds = {"train": began - started, "validation": time.perf_counter() - began}


def solution(run: FrozenRun, output: nn.Linear, batches: Batches, task: Task, settings: ExactSettings) -> Solution:
    """What a run's last layer should be, from its training rows.

    Raises:
        UserError: they form a single group.
    """
    split, labels = batches.split, batches.split.labels
    assert labels is not None
    features = entering(run.head, output, batches, split.num_predictions)
    folds, sentences = inner_folds(task, settings.folds), split.sentences
    in_rows = folds if sentences is None else np.repeat(folds, sentences)
    seen = ~np.isnan(features).any(axis=1)  # a word without word pieces is none of the classifier's

    def scored(logits: np.ndarray, fold: int) -> float:
        held = in_rows == fold
        found = np.full((int(held.sum()), logits.shape[1]), np.nan)
        found[seen[held]] = logits
        words = None if sentences is None else sentences[folds == fold]
        metric = task.metrics[0]
        return score([metric], task.labels, run.model.predicted(found), labels[held], words)[metric]

    values = labels.astype(np.float64) if task.regression else labels
    return solve(features[seen], values[seen], len(task.labels), in_rows[seen], scored, settings)


def inner_folds(task: Task, count: int) -> np.ndarray:
    """(N,) inner fold of each training text or sentence, cut as the outer folds are: stratified, those that share a
    text or a document in one.

    Raises:
        UserError: all do.
    """
    groups = task.clusters("train")
    count = min(count, len(np.unique(groups)))
    if count < 2:
        raise UserError(
            "optimizer=exact: the training rows all share a text or document; there is nothing to choose by"
        )
    return assign(strata(task.read("train"), task.labels), groups, count, repeat=0)
