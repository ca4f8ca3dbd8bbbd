"""How much is measured: enough for numbers, or (--smoke) just enough to see that every part works."""

from dataclasses import dataclass, field

BATCH = 32
MAX_LENGTH = 128


@dataclass(frozen=True)
class Size:
    """How much is measured.

    rows: task -> training rows of an epoch. TrainBatches sorts by length within a quarter of an epoch: a few hundred
        rows at least, or there is little to sort.
    padded_rows: the same for the contestant whose texts all cost alike.
    limit: seconds that a command may take.
    """

    rounds: int = 3
    rows: dict[str, int] = field(default_factory=lambda: {"cola": 1280, "mrpc": 640, "rte": 512})
    padded_rows: int = 6 * BATCH
    memory_rows: int = 20 * BATCH
    sweep_rounds: int = 2
    sweep_rows: int = 640
    sweep_seeds: int = 2
    tiny_seeds: int = 10
    frozen_rows: int | None = None
    frozen_seeds: int = 5
    frozen_epochs: int = 10
    mapped_rows: tuple[int, ...] = (10_000, 67_349)
    limit: int = 1200


SMOKE = Size(
    rounds=1,
    rows={"cola": 64, "mrpc": 64},
    padded_rows=BATCH,
    memory_rows=BATCH,
    sweep_rounds=1,
    sweep_rows=32,
    sweep_seeds=1,
    tiny_seeds=1,
    frozen_rows=64,
    frozen_seeds=1,
    frozen_epochs=1,
    mapped_rows=(64, 128),
    limit=240,
)
