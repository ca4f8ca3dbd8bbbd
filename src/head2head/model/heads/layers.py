"""Which hidden states a head reads: EncoderOutput -> (B, T, H')."""

from typing import Literal

import torch
from torch import Tensor, nn

from head2head.model.depth import last_layers
from head2head.model.output import EncoderOutput, EncoderSpec


class Layers(nn.Module):
    """Base of the layer rules.

    reads: numbers of the hidden states that are read (0 = embeddings).
    size: width H' of what comes out.
    linear: what comes out at a token is a linear function of the hidden states at that token, so that a weighted
        sum over tokens may as well be taken of each hidden state before. It counts only where a class declares it
        itself, see `declares`.
    """

    linear = False

    def __init__(self, reads: list[int], size: int):
        super().__init__()
        self.reads = reads
        self.size = size

    def forward(self, output: EncoderOutput) -> Tensor:
        """(B, T, H')."""
        raise NotImplementedError


class Layer(Layers):
    """One hidden state as it is.

    Args:
        index: 0 for the embeddings, 1 to L for the layers; -1 is the last layer, -2 the second to last.
    """

    linear = True

    def __init__(self, encoder: EncoderSpec, index: int = -1):
        super().__init__([encoder.layer(index)], encoder.hidden_size)

    def forward(self, output: EncoderOutput) -> Tensor:
        return output.hidden_state(self.reads[0])


class WeightedSum(Layers):
    """Scalar mix of the last n layers: scale * sum_i softmax(weights)_i * h_i (Peters et al. 2018, eq. 1).

    The logits start at zero and the scale at one, so training starts from the plain mean.

    Args:
        n: how many layers, or "all" (without the embeddings).
        normalize: False sums with raw, unconstrained weights instead, which start at 1/n.
    """

    linear = True

    def __init__(self, encoder: EncoderSpec, n: int | Literal["all"] = 4, normalize: bool = True):
        super().__init__(last_layers(n, encoder.num_layers), encoder.hidden_size)
        self.normalize = normalize
        count = len(self.reads)
        self.weights = nn.Parameter(torch.zeros(count) if normalize else torch.full((count,), 1 / count))
        if normalize:
            self.scale = nn.Parameter(torch.ones(()))

    def mixture(self) -> Tensor:
        """(n,): what each layer is multiplied by, scale included."""
        return self.scale * self.weights.softmax(dim=0) if self.normalize else self.weights

    def forward(self, output: EncoderOutput) -> Tensor:
        states = [output.hidden_state(layer) for layer in self.reads]
        mixed = torch.zeros_like(states[0])
        for weight, state in zip(self.mixture(), states, strict=True):
            mixed = mixed + weight.to(state.dtype) * state
        return mixed


class ConcatLast(Layers):
    """The last n layers side by side, the last one last: H' = n * H (Devlin et al. 2019, Table 7)."""

    linear = True

    def __init__(self, encoder: EncoderSpec, n: int | Literal["all"] = 4):
        reads = last_layers(n, encoder.num_layers)
        super().__init__(reads, encoder.hidden_size * len(reads))

    def forward(self, output: EncoderOutput) -> Tensor:
        return torch.cat([output.hidden_state(layer) for layer in self.reads], dim=-1)


class FirstLast(Layers):
    """Mean of the first and the last transformer layer (Su et al. 2021, BERT-whitening; Gao et al. 2021, SimCSE).

    The first is layer 1, not the embeddings: SimCSE's `avg_first_last` reads hidden_states[1] and hidden_states[-1].
    """

    linear = True

    def __init__(self, encoder: EncoderSpec):
        super().__init__(sorted({1, encoder.num_layers}), encoder.hidden_size)

    def forward(self, output: EncoderOutput) -> Tensor:
        return torch.stack([output.hidden_state(layer) for layer in self.reads]).mean(dim=0)
