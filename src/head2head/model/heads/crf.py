"""A linear-chain conditional random field over a sentence's words."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from head2head.model.heads.classifiers import Classifier
from head2head.model.heads.pooling import wide

FORBIDDEN = -1e4  # a score that no others make up for; finite, and so are its gradients
BEHIND = -1e-6  # of a label that is as good as the one that is predicted, to rounding


class Crf(Classifier):
    """Dropout and linear, then a linear-chain conditional random field over the words (Lafferty et al. 2001; for named
    entities Lample et al. 2016, section 2.2): labels y of words with emissions e score

        start[y_1] + sum_t e_t[y_t] + sum_t transitions[y_(t-1), y_t] + end[y_n].

    What the tag scheme IOB2 forbids, I-X unless after B-X or I-X, has no part in training or prediction. A window of a
    long sentence is a sequence of its own; so is a sentence with what `task.context=document` puts around it.

    In training mode it gives emissions, which `loss` takes. In eval mode the labels are predicted: what it gives at a
    word for a label is how far the best sequence with that label there stays behind the best of all. That is 0 for the
    labels of the best sequence (Viterbi 1967), which argmax finds, below for all others, and FORBIDDEN for a label that
    no allowed sequence has there.
    """

    kinds = frozenset({"token"})
    joint = True
    may_start: Tensor  # see iob2; None until the labels have been named
    may_follow: Tensor

    def __init__(self, size: int, num_labels: int, dropout: float):
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(size, num_labels)
        # Zeros: training starts from words that know nothing of each other but the scheme.
        self.start = nn.Parameter(torch.zeros(num_labels))
        self.transitions = nn.Parameter(torch.zeros(num_labels, num_labels))
        self.end = nn.Parameter(torch.zeros(num_labels))
        self.register_buffer("may_start", None, persistent=False)
        self.register_buffer("may_follow", None, persistent=False)

    def name_labels(self, labels: Sequence[str]) -> None:
        if labels:
            self.may_start, self.may_follow = iob2(labels)

    def forward(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        if mask is None:
            raise ValueError("Crf reads a sequence of words and needs their mask")
        emissions = self.output(self.dropout(features))
        return emissions if self.training or not mask.shape[1] else self.decoded(emissions, mask)

    def loss(self, logits: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
        """Sum over the rows of -log P(labels). A word whose label is not known (below 0) is summed over.

        That is the case of words that another window predicts, and of I-X where nothing stands before it that it could
        follow: the entity began in a word that has no word piece, or that lies in another window.
        """
        follows = self.may_follow[labels[:, :-1].clamp(min=0), labels[:, 1:].clamp(min=0)] | (labels[:, :-1] < 0)
        opens = self.may_start[labels[:, :1].clamp(min=0)]
        known = (labels >= 0) & torch.cat([opens, follows], dim=1)
        emissions = wide(logits)
        others = ~one_hot(labels.clamp(min=0), emissions.shape[-1]).bool() & known.unsqueeze(-1)
        both = torch.cat([emissions, emissions.masked_fill(others, FORBIDDEN)])
        every, right = self.log_partition(both, torch.cat([mask, mask])).chunk(2)
        return (every - right).sum()

    def log_partition(self, emissions: Tensor, mask: Tensor) -> Tensor:
        """(B,): log of the sum of exp(score) over all sequences of labels, by the forward algorithm.

        Args:
            emissions: (B, W, C), float32 or wider.
            mask: (B, W), 1 where there is a word; padding comes last.
        """
        start, transitions = self._allowed()
        total = start + emissions[:, 0]
        for t in range(1, emissions.shape[1]):
            onward = torch.logsumexp(total.unsqueeze(-1) + transitions, dim=1) + emissions[:, t]
            total = torch.where(mask[:, t, None].bool(), onward, total)
        return torch.logsumexp(total + wide(self.end), dim=-1)

    def decoded(self, emissions: Tensor, mask: Tensor) -> Tensor:
        """(B, W, C): what eval mode gives, from emissions (B, W, C) and the words' mask (B, W)."""
        start, transitions = self._allowed()
        scores, present = wide(emissions), mask.bool()
        after = self._best_after(scores, present, transitions)
        before = start + scores[:, 0]  # the best score of a sequence up to a word, by its label there
        best = (before + after[:, 0]).amax(dim=-1, keepdim=True)
        label = (before + after[:, 0]).argmax(dim=-1)
        found = [behind(before + after[:, 0] - best, label)]
        for t in range(1, scores.shape[1]):
            before = (before.unsqueeze(-1) + transitions).amax(dim=1) + scores[:, t]
            label = (transitions[label] + scores[:, t] + after[:, t]).argmax(dim=-1)
            found.append(behind(before + after[:, t] - best, label))
        return torch.stack(found, dim=1).masked_fill(~present.unsqueeze(-1), 0).to(emissions.dtype)

    def _best_after(self, scores: Tensor, present: Tensor, transitions: Tensor) -> Tensor:
        """(B, W, C): the best score of what follows a word, by its label."""
        end = wide(self.end).expand(len(scores), -1)
        found = [end]
        for t in range(scores.shape[1] - 1, 0, -1):
            onward = (transitions + (scores[:, t] + found[-1]).unsqueeze(1)).amax(dim=-1)
            found.append(torch.where(present[:, t, None], onward, end))
        return torch.stack(found[::-1], dim=1)

    def _allowed(self) -> tuple[Tensor, Tensor]:
        """`start` and `transitions`, FORBIDDEN where the scheme forbids it."""
        if self.may_follow is None:
            raise LookupError("the names of the labels were not given")
        start = wide(self.start).masked_fill(~self.may_start, FORBIDDEN)
        return start, wide(self.transitions).masked_fill(~self.may_follow, FORBIDDEN)


def behind(scores: Tensor, label: Tensor) -> Tensor:
    """(B, C) scores without what rounding does to them: 0 at the predicted label (B,), below it elsewhere."""
    allowed = scores.clamp(max=BEHIND).masked_fill(scores < FORBIDDEN / 2, FORBIDDEN)
    return allowed.scatter(1, label.unsqueeze(1), 0.0)


def iob2(labels: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Which labels can come first (C,), and which (column) can follow which (row) (C, C): I-X follows B-X or I-X alone.
    Labels that are no IOB2 are free."""
    first, follow = torch.ones(len(labels), dtype=torch.bool), torch.ones(len(labels), len(labels), dtype=torch.bool)
    for number, label in enumerate(labels):
        opening = f"B-{label[2:]}"
        if label.startswith("I-") and opening in labels:
            first[number] = False
            follow[:, number] = torch.tensor([other in (opening, label) for other in labels])
    return first, follow
