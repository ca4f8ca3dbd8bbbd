"""What is made of the vectors of a pair whose texts are read apart: (2B, D) -> (B, D')."""

import torch
from torch import Tensor, nn

from head2head.model.heads.classifiers import Classifier
from head2head.model.heads.pooling import wide


class Comparison(nn.Module):
    """One vector a row, as it is: of a text, or of a pair whose texts are read together. Base of the others.

    Args:
        size: width D of the vectors.

    Attributes:
        size: width D' of what comes out.
    """

    def __init__(self, size: int):
        super().__init__()
        self.size = size

    def forward(self, vectors: Tensor) -> Tensor:
        """(B, D') from the vectors (B, D), or (2B, D) of pairs: those of all first texts, then of all second ones."""
        return vectors


class Differences(Comparison):
    """(u, v, |u - v|) side by side: D' = 3D (Reimers and Gurevych 2019, section 3 and Table 6)."""

    def __init__(self, size: int):
        super().__init__(3 * size)

    def forward(self, vectors: Tensor) -> Tensor:
        first, second = vectors.chunk(2)
        return torch.cat([first, second, (first - second).abs()], dim=-1)


class Cosine(Comparison):
    """The cosine of u and v: D' = 1. That of a vector of zeros, as an empty text has, is 0."""

    def __init__(self, size: int):
        super().__init__(1)

    def forward(self, vectors: Tensor) -> Tensor:
        first, second = wide(vectors).chunk(2)
        return torch.cosine_similarity(first, second).unsqueeze(-1).to(vectors.dtype)


class Similarity(Classifier):
    """A cosine on the scale of the labels: the lowest one of training is 0, the highest 1. It learns nothing.

    Squared error on it is, but for a constant factor, what Sentence-BERT is trained with on STS-B, the cosine against
    score / 5 (Reimers and Gurevych 2019, section 3).
    """

    kinds = frozenset({"sentence"})

    def __init__(self, size: int, num_labels: int, dropout: float):
        super().__init__()
        self.low, self.high = nn.Buffer(torch.tensor(0.0)), nn.Buffer(torch.tensor(1.0))

    def set_range(self, low: float, high: float) -> None:
        """Set the lowest and the highest label of training."""
        self.low.fill_(low)
        self.high.fill_(high)

    def forward(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.low + (self.high - self.low) * features
