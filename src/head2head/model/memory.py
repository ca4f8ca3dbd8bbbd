"""Memory that has run out, told with the batch that asked for it and with what to change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from head2head.errors import UserError

TRAINING = (
    "take trainer.accumulate_grad_batches=2 (the same step in two parts), a smaller batch_size, or a smaller "
    "task.max_length"
)
EVALUATION = "take a smaller evaluation_tokens"


class OutOfMemory(UserError):
    """The GPU or the machine has too little memory for a batch; perhaps because of others beside this run."""


def out_of_memory(error: Exception) -> bool:
    """Whether memory was short, on the GPU or the machine."""
    told = ("out of memory", "ALLOC_FAILED", "can't allocate memory")
    return isinstance(error, (MemoryError, OutOfMemory)) or any(words in str(error) for words in told)


@contextmanager
def told(device: object, batch: Callable[[], tuple[int, ...] | None], training: Callable[[], bool]) -> Iterator[None]:
    """Around what a model computes.

    Args:
        batch: shape (B, T) of the batch at work: texts, word pieces.
        training: whether it is trained on.

    Raises:
        OutOfMemory: in place of what a library raises then.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        shape = batch()
        what = f"a batch of {shape[0]} texts x {shape[1]} word pieces" if shape else "the model"
        raise OutOfMemory(
            f"out of memory on {device}: there is not enough for {what}; {TRAINING if training() else EVALUATION}"
        ) from error
