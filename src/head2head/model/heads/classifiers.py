"""The last step of a head: (..., D) -> (..., C)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class Classifier(nn.Module):
    """Base of the classifiers.

    kinds: the kinds of head it can serve.
    joint: the labels of a sentence's words are predicted together, with a `loss` of their own; without it each is
        predicted by itself, with cross-entropy.
    """

    kinds = frozenset({"sentence", "token"})
    joint = False

    def name_labels(self, labels: Sequence[str]) -> None:
        """Take in what the C labels are called; for classifiers to which it matters."""

    def forward(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, C) logits from features (B, D), or (B, W, C) from the features of W words (B, W, D) with
        their mask (B, W), words first and padding behind."""
        raise NotImplementedError

    def loss(self, logits: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
        """Sum over the batch's sentences of the negative log likelihood, of a joint classifier.

        Args:
            logits: (B, W, C), what `forward` gives in training mode.
            labels: (B, W), below 0 where a label is not known.
            mask: (B, W), 1 where there is a word; padding comes last.
        """
        raise NotImplementedError


class Linear(Classifier):
    """Dropout, then linear: what BertForSequenceClassification and BertForTokenClassification use."""

    def __init__(self, size: int, num_labels: int, dropout: float):
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(size, num_labels)

    def forward(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.output(self.dropout(features))


class Mlp(Classifier):
    """Dense and tanh, then dropout and linear.

    With it a head has the same shape and number of new and old parameters behind the encoder as
    pooler_output has (a dense layer of H x H and tanh), so that "which tokens are pooled" is not
    confounded with "one more layer".

    Args:
        hidden: width of the dense layer; null for the width that comes in.
    """

    def __init__(self, size: int, num_labels: int, dropout: float, hidden: int | None = None):
        super().__init__()
        self.dense = nn.Linear(size, hidden or size)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden or size, num_labels)

    def forward(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.output(self.dropout(torch.tanh(self.dense(features))))


class BiLstm(Classifier):
    """A bidirectional LSTM over a sentence's words, then dropout and linear: the classifier of the
    feature-based approach (Devlin et al. 2019, section 5.3: two layers, 768 wide).

    Args:
        hidden: width of each direction.
    """

    kinds = frozenset({"token"})

    def __init__(self, size: int, num_labels: int, dropout: float, hidden: int = 768, num_layers: int = 2):
        super().__init__()
        self.lstm = nn.LSTM(
            size, hidden, num_layers, batch_first=True, bidirectional=True, dropout=dropout if num_layers > 1 else 0.0
        )
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(2 * hidden, num_labels)

    def forward(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        if mask is None:
            raise ValueError("BiLstm reads a sequence of words and needs their mask")
        # pack_padded_sequence refuses an empty row; one padding word in its place is never read.
        lengths = mask.sum(dim=1).clamp(min=1).cpu()
        packed = pack_padded_sequence(features, lengths, batch_first=True, enforce_sorted=False)
        states, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=features.shape[1])
        return self.output(self.dropout(states))
