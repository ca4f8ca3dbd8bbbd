"""What is trained, and how much is measured: enough for numbers, or (--smoke) to see that all of it works."""

from dataclasses import dataclass, field

MODEL = "sentence-transformers/all-MiniLM-L6-v2"  # what is fine-tuned, but on a GPU
ENCODER = "encoder"  # folder of what is fine-tuned there: random weights of other sizes, with that one's tokenizer
BATCH = 32
MAX_LENGTH = 128


@dataclass(frozen=True)
class Size:
    """How much is measured.

    rows: task -> training rows of an epoch: all of MRPC and RTE and half of CoLA. In fewer, less can be sorted by
        length: TrainBatches does so within a quarter of an epoch.
    fewer_rows: contestant -> the same for those that do not sort, whose speed does not hang on it.
    gpu_encoder: what the encoder that is fine-tuned on a GPU has other than BERT base; where there is no GPU, one of
        other sizes is tried on the CPU.
    limit: seconds that a command may take.
    """

    rounds: int = 3
    rows: dict[str, int] = field(default_factory=lambda: {"cola": 4275, "mrpc": 3668, "rte": 2490})
    fewer_rows: dict[str, int] = field(default_factory=lambda: {"padded": 6 * BATCH, "dynamic": 20 * BATCH})
    memory_rows: int = 20 * BATCH
    sweep_rounds: int = 2
    sweep_rows: int = 1920
    sweep_seeds: int = 2
    tiny_seeds: int = 10
    frozen_rows: int | None = None
    frozen_seeds: int = 5
    frozen_epochs: int = 10
    mapped_rows: tuple[int, ...] = (10_000, 67_349)
    gpu_rows: int | None = None
    gpu_encoder: dict[str, int] = field(default_factory=dict)
    gpu_squares: tuple[int, ...] = (4096, 8192)
    limit: int = 1200


SMOKE = Size(
    rounds=1,
    rows={"cola": 64, "mrpc": 64},
    fewer_rows={"padded": BATCH},
    memory_rows=BATCH,
    sweep_rounds=1,
    sweep_rows=32,
    sweep_seeds=1,
    tiny_seeds=1,
    frozen_rows=64,
    frozen_seeds=1,
    frozen_epochs=1,
    mapped_rows=(64, 128),
    gpu_rows=64,
    gpu_encoder={"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128},
    gpu_squares=(256,),
    limit=240,
)
