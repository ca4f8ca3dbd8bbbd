"""What is trained, and how much is measured: enough for numbers, or (--smoke) to see that all of it works."""

from dataclasses import dataclass, field

MODEL = "sentence-transformers/all-MiniLM-L6-v2"  # what is fine-tuned
BATCH = 32
MAX_LENGTH = 128


@dataclass(frozen=True)
class Size:
    """How much is measured.

    rows: task -> training rows of an epoch: all of MRPC and RTE and half of CoLA. In fewer, less can be sorted by
        length: TrainBatches does so within a quarter of an epoch.
    fewer_rows: contestant -> the same for those that do not sort, whose speed does not hang on it.
    trick_rows: task -> training rows of each way to train.
    limit: seconds that a command may take.
    """

    rounds: int = 3
    rows: dict[str, int] = field(default_factory=lambda: {"cola": 4275, "mrpc": 3668, "rte": 2490})
    fewer_rows: dict[str, int] = field(default_factory=lambda: {"padded": 6 * BATCH, "dynamic": 20 * BATCH})
    trick_rounds: int = 1
    trick_rows: dict[str, int] = field(default_factory=lambda: {"cola": 1024, "mrpc": 544, "rte": 384})
    memory_rows: int = 20 * BATCH
    sweep_rounds: int = 2
    sweep_rows: int = 1920
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
    fewer_rows={"padded": BATCH},
    trick_rounds=1,
    trick_rows={"cola": 3 * BATCH},
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
