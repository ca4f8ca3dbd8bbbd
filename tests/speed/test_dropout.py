"""Dropout with cheaper masks: its distribution, and that nothing else differs from torch's."""

import copy

import pytest
import torch
from transformers import BertConfig, BertModel, RobertaConfig, RobertaModel

from head2head.model.encoder import Encoder
from head2head.model.output import Needs
from head2head.speed.dropout import ATTENTION, DroppedOutProduct, FastDropout, dropped_out, use_fast_dropout

SIZES = {
    "vocab_size": 60, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24,
    "initializer_range": 0.3,
}  # fmt: skip
IDS = torch.arange(5, 33).view(4, 7)
MASK = (torch.arange(7) < torch.tensor([7, 4, 0, 1]).unsqueeze(1)).long()


def twins(**dropout: float) -> tuple[Encoder, Encoder]:
    """The same encoder with fast dropout and without."""
    torch.manual_seed(0)
    model = BertModel(BertConfig(**SIZES, **dropout))
    fast, plain = (Encoder(copy.deepcopy(model), Needs(frozenset({2}))) for _ in range(2))
    use_fast_dropout(fast.model)
    return fast, plain


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_values_are_dropped_with_the_probability_and_scaled_by_the_rest(p):
    torch.manual_seed(0)
    count = 1_000_003  # no multiple of four
    values = dropped_out(torch.full((count,), 3.0), p)
    keep = values != 0
    torch.testing.assert_close(values[keep], torch.full((int(keep.sum()),), 3 / (1 - p)), rtol=2e-4, atol=0)
    four_sigma = 4 * (p * (1 - p) / count) ** 0.5
    assert keep.float().mean().item() == pytest.approx(1 - p, abs=four_sigma)
    for distance in (1, 2, 3, 4):  # elements of one number, and of neighbours, are independent
        both = (keep[distance:] & keep[:-distance]).float().mean().item()
        assert both == pytest.approx((1 - p) ** 2, abs=2 * four_sigma)
    for lane in range(4):
        assert keep[lane::4].float().mean().item() == pytest.approx(1 - p, abs=2 * four_sigma)


def test_gradients_pass_where_values_are_kept():
    torch.manual_seed(0)
    values = torch.randn(1000, dtype=torch.float64, requires_grad=True)
    found = dropped_out(values, 0.3)
    found.sum().backward()
    torch.testing.assert_close(values.grad * values.detach(), found.detach(), rtol=1e-12, atol=0)


def test_the_product_that_is_computed_again_has_the_gradients_of_the_plain_one():
    torch.manual_seed(0)
    weights, values = (torch.randn(2, 3, 5, size, dtype=torch.float64, requires_grad=True) for size in (5, 4))
    results = []
    for product in (lambda: DroppedOutProduct.apply(weights, values, 0.3), lambda: dropped_out(weights, 0.3) @ values):
        torch.manual_seed(1)
        found = product()
        results.append([found, *torch.autograd.grad(found.pow(2).sum(), (weights, values))])
    for found, expected in zip(*results, strict=True):
        assert torch.equal(found, expected)


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_nothing_or_everything_is_dropped_as_torch_does(p):
    assert torch.equal(FastDropout(p)(torch.ones(5)), torch.nn.Dropout(p)(torch.ones(5)))


@pytest.mark.parametrize("mode", ["without dropout", "in eval mode"])
def test_states_and_gradients_are_the_plain_ones(mode):
    none = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    fast, plain = (
        part.double().train(mode == "without dropout") for part in twins(**(none if "without" in mode else {}))
    )
    for part in (fast, plain):
        part(IDS, MASK).last_hidden_state.pow(3).sum().backward()
    assert torch.equal(fast(IDS, MASK).last_hidden_state, plain(IDS, MASK).last_hidden_state)
    for a, b in zip(plain.parameters(), fast.parameters(), strict=True):
        assert torch.equal(a.grad, b.grad)


def test_attention_without_effective_dropout_is_sdpas():
    """A probability so small that nothing is dropped here, but the fast path is taken."""
    fast, plain = (part.double() for part in twins(hidden_dropout_prob=0.0, attention_probs_dropout_prob=2e-5))
    torch.manual_seed(0)
    found = fast(IDS, MASK).last_hidden_state
    expected = plain.eval()(IDS, MASK).last_hidden_state
    real = MASK.bool()
    torch.testing.assert_close(found[real], expected[real], rtol=1e-3, atol=1e-3)
    assert not torch.equal(found[real], expected[real])  # scaled by 1 / (1 - p)


def test_training_means_are_those_of_torchs_dropout():
    fast, plain = twins(hidden_dropout_prob=0.2, attention_probs_dropout_prob=0.2)
    torch.manual_seed(0)
    ids, mask = (part[:1].repeat(1500, 1) for part in (IDS, MASK))  # each with masks of its own
    with torch.no_grad():
        samples = [part(ids, mask).last_hidden_state[:, 0] for part in (fast, plain)]
    error = (samples[0].var(dim=0) / 1500 + samples[1].var(dim=0) / 1500).sqrt()
    assert ((samples[0].mean(dim=0) - samples[1].mean(dim=0)) / error).abs().max() < 4.5
    assert (samples[0].var(dim=0) / samples[1].var(dim=0)).log().abs().max() < 0.3


def test_frozen_parts_stay_without_dropout_and_other_models_as_they_are():
    part = Encoder(BertModel(BertConfig(**SIZES)), Needs(frozenset({2})), frozen=1)
    use_fast_dropout(part.model)
    dropouts = [module for module in part.modules() if isinstance(module, FastDropout)]
    assert [module.training for module in dropouts] == [False] * 4 + [True] * 3
    assert part.model.config._attn_implementation == ATTENTION
    other = RobertaModel(RobertaConfig(**SIZES))
    use_fast_dropout(other)
    assert not any(isinstance(module, FastDropout) for module in other.modules())
