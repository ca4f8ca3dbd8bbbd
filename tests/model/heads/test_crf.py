"""The conditional random field against sums over all sequences of labels, which short sentences have few of."""

import itertools

import pytest
import torch
from torch import Tensor

from head2head.model.heads import Crf
from head2head.model.heads.crf import FORBIDDEN, iob2

LABELS = ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]
UNKNOWN = -100


def crf(labels=LABELS, seed=0) -> Crf:
    """One with random parameters, in float64, that hands on what comes in as emissions."""
    torch.manual_seed(seed)
    built = Crf(len(labels), len(labels), dropout=0.0).double()
    built.name_labels(labels)
    with torch.no_grad():
        built.output.weight.copy_(torch.eye(len(labels)))
        built.output.bias.zero_()
        for parameter in (built.start, built.transitions, built.end):
            parameter.normal_()
    return built


def emissions_of(words: int, labels=LABELS, seed=0) -> Tensor:
    """(words, C)"""
    return 2 * torch.randn(words, len(labels), dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def ones(words: int) -> Tensor:
    return torch.ones(1, words, dtype=torch.bool)


def is_iob2(names) -> bool:
    """Whether every I-X stands behind B-X or I-X."""
    before = "O"
    for name in names:
        if name.startswith("I-") and before not in (f"B-{name[2:]}", name):
            return False
        before = name
    return True


def scores(built: Crf, emissions: Tensor, labels=LABELS) -> dict[tuple[int, ...], Tensor]:
    """Every sequence of labels that the scheme allows, and its score by the definition."""
    found = {}
    for sequence in itertools.product(range(len(labels)), repeat=len(emissions)):
        if is_iob2([labels[number] for number in sequence]):
            score = built.start[sequence[0]] + built.end[sequence[-1]]
            score = score + sum(emissions[t, number] for t, number in enumerate(sequence))
            found[sequence] = score + sum(built.transitions[a, b] for a, b in itertools.pairwise(sequence))
    return found


def log_sum(values) -> Tensor:
    return torch.logsumexp(torch.stack(list(values)), dim=0)


@pytest.mark.parametrize("words", [1, 2, 4])
def test_the_partition_function_is_the_sum_over_all_allowed_sequences(words):
    for seed in range(5):
        built, emissions = crf(seed=seed), emissions_of(words, seed=seed)
        found = built.log_partition(emissions.unsqueeze(0), ones(words))
        torch.testing.assert_close(found, log_sum(scores(built, emissions).values()).unsqueeze(0))


@pytest.mark.parametrize("words", [1, 2, 4])
def test_the_labels_predicted_are_the_best_sequence_and_the_others_stay_behind_by_what_they_lose(words):
    for seed in range(20):
        built, emissions = crf(seed=seed).eval(), emissions_of(words, seed=seed)
        logits = built(emissions.unsqueeze(0), ones(words))[0]
        every = scores(built, emissions)
        best = max(every, key=lambda sequence: every[sequence])
        assert tuple(logits.argmax(dim=-1).tolist()) == best
        for t, number in itertools.product(range(words), range(len(LABELS))):
            possible = [score - every[best] for sequence, score in every.items() if sequence[t] == number]
            expected = max(possible) if possible else torch.tensor(FORBIDDEN, dtype=torch.float64)
            torch.testing.assert_close(logits[t, number], expected)


def test_the_loss_is_minus_the_log_of_the_labels_probability():
    built, emissions = crf(), emissions_of(4)
    every = scores(built, emissions)
    for labels in ((0, 1, 2, 2), (3, 3, 0, 1), (0, 0, 0, 0)):
        expected = log_sum(every.values()) - every[labels]
        torch.testing.assert_close(built.loss(emissions.unsqueeze(0), torch.tensor([labels]), ones(4)), expected)


def test_words_whose_labels_are_not_known_are_summed_over():
    built, emissions = crf(), emissions_of(4)
    every = scores(built, emissions)
    for labels in ((UNKNOWN, 2, 0, UNKNOWN), (UNKNOWN, UNKNOWN, 4, 0), (1, UNKNOWN, 0, 3)):
        fitting = [
            score for sequence, score in every.items()
            if all(known in (UNKNOWN, number) for known, number in zip(labels, sequence, strict=True))
        ]  # fmt: skip
        expected = log_sum(every.values()) - log_sum(fitting)
        torch.testing.assert_close(built.loss(emissions.unsqueeze(0), torch.tensor([labels]), ones(4)), expected)


@pytest.mark.parametrize("labels", [[2, 2, 0], [0, 2, 0], [1, 4, 4]])
def test_an_entity_whose_beginning_is_missing_does_not_spoil_the_loss(labels):
    """Its first word has no word piece, or lies in another window."""
    built, emissions = crf(), emissions_of(3)
    loss = built.loss(emissions.unsqueeze(0), torch.tensor([labels]), ones(3))
    first = next(t for t in range(3) if not is_iob2([LABELS[number] for number in labels[: t + 1]]))
    without = [UNKNOWN if t == first else number for t, number in enumerate(labels)]
    torch.testing.assert_close(loss, built.loss(emissions.unsqueeze(0), torch.tensor([without]), ones(3)))
    assert 0 < loss < 30


def test_the_gradient_is_that_of_finite_differences():
    built, emissions = crf(), torch.stack([emissions_of(4, seed=seed) for seed in range(2)]).requires_grad_()
    labels = torch.tensor([[0, 3, 4, UNKNOWN], [1, 2, UNKNOWN, UNKNOWN]])
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    names = ("start", "transitions", "end")

    def loss(emissions, *values):
        for name, value in zip(names, values, strict=True):
            delattr(built, name)
            setattr(built, name, value)
        return built.loss(emissions, labels, mask)

    values = [getattr(built, name).detach().requires_grad_() for name in names]
    assert torch.autograd.gradcheck(loss, (emissions, *values))


def test_sentences_of_a_batch_and_their_padding_have_no_part_in_each_other():
    built, lengths = crf(), (3, 5, 1)
    emissions = torch.stack([emissions_of(5, seed=seed) for seed in range(3)])
    mask = torch.arange(5) < torch.tensor(lengths).unsqueeze(1)
    emissions[~mask] = 77
    labels = torch.tensor([[0, 1, 2, 0, 0], [3, 4, 4, 0, 1], [0, 0, 0, 0, 0]]).masked_fill(~mask, UNKNOWN)
    rows = [(emissions[i : i + 1, :n], labels[i : i + 1, :n], mask[i : i + 1, :n]) for i, n in enumerate(lengths)]
    torch.testing.assert_close(built.loss(emissions, labels, mask), sum(built.loss(*row) for row in rows))
    together = built.eval()(emissions, mask)
    for i, (row, _, kept) in enumerate(rows):
        torch.testing.assert_close(together[i, : lengths[i]], built(row, kept)[0])
    assert together[~mask].abs().max() == 0


def test_a_row_without_words_loses_nothing():
    built = crf()
    emissions = torch.zeros(1, 2, 5, dtype=torch.float64, requires_grad=True)
    none = torch.zeros(1, 2, dtype=torch.bool)
    loss = built.loss(emissions, torch.full((1, 2), UNKNOWN), none)
    loss.backward()
    assert loss == 0
    assert emissions.grad.abs().max() == 0
    assert torch.isfinite(built.eval()(emissions, none)).all()


def test_forbidden_transitions_stay_forbidden_whatever_has_been_learned():
    built = crf().eval()
    first, follow = iob2(LABELS)
    with torch.no_grad():
        built.transitions[~follow] = 500
        built.start[~first] = 500
    for seed in range(50):
        emissions = emissions_of(8, seed=seed)
        emissions[:, [2, 4]] += 5  # I-LOC and I-PER would win word by word
        names = [LABELS[number] for number in built(emissions.unsqueeze(0), ones(8))[0].argmax(dim=-1)]
        assert is_iob2(names)
    assert not is_iob2([LABELS[number] for number in emissions.argmax(dim=-1)])
    built.loss(emissions.unsqueeze(0), torch.zeros(1, 8, dtype=torch.long), ones(8)).backward()
    assert built.transitions.grad[~follow].abs().max() == 0
    assert built.transitions.grad[follow].abs().min() > 0


def test_the_scheme_is_iob2_and_other_labels_are_free():
    first, follow = iob2(LABELS)
    assert [LABELS[i] for i in range(5) if first[i]] == ["O", "B-LOC", "B-PER"]
    allowed = {(LABELS[a], LABELS[b]) for a, b in itertools.product(range(5), repeat=2) if follow[a, b]}
    assert allowed == {(a, b) for a, b in itertools.product(LABELS, repeat=2) if is_iob2(["B" + a[1:], a, b])}
    for free in (["NN", "VB"], ["O", "I-LOC"]):
        assert iob2(free)[0].all()
        assert iob2(free)[1].all()


def test_exact_ties_still_give_one_allowed_sequence():
    built = crf()
    with torch.no_grad():
        for parameter in (built.start, built.transitions, built.end):
            parameter.zero_()
    logits = built.eval()(torch.zeros(1, 6, 5, dtype=torch.float64), ones(6))
    assert is_iob2([LABELS[number] for number in logits[0].argmax(dim=-1)])
    assert ((logits == 0).sum(dim=-1) == 1).all()


def test_without_a_mask_or_the_labels_names_it_is_an_error():
    with pytest.raises(ValueError, match="mask"):
        crf()(torch.zeros(1, 2, 5, dtype=torch.float64))
    with pytest.raises(LookupError, match="names of the labels"):
        Crf(5, 5, dropout=0.0).eval()(torch.zeros(1, 2, 5), ones(2))


def test_it_is_for_words_only():
    assert Crf.kinds == {"token"}
