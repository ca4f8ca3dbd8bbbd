"""Pools against numbers worked out by hand and against sentence-transformers."""

import math

import pytest
import torch
from sentence_transformers.sentence_transformer.modules.pooling import Pooling

from head2head.model.heads import Attention, Cls, LastToken, Max, Mean, MeanMax, Pooler, SqrtMean, WeightedMean

# Row 0: tokens (1, -2) (3, -4) and padding; row 1: padding and (5, -6); row 2 is empty.
TOKENS = torch.tensor(
    [
        [[1.0, -2.0], [3.0, -4.0], [90.0, 91.0]],
        [[90.0, 91.0], [92.0, 93.0], [5.0, -6.0]],
        [[90.0, 91.0], [92.0, 93.0], [94.0, 95.0]],
    ]
)
MASK = torch.tensor([[1, 1, 0], [0, 0, 1], [0, 0, 0]])
ROOT = math.sqrt(2)
POOLS = [Cls, LastToken, Mean, WeightedMean, SqrtMean, Max, MeanMax, Attention]
DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


@pytest.mark.parametrize(
    ("pool", "expected"),
    [
        (Cls, [[1, -2], [5, -6], [0, 0]]),
        (LastToken, [[3, -4], [5, -6], [0, 0]]),
        (Mean, [[2, -3], [5, -6], [0, 0]]),
        (WeightedMean, [[7 / 3, -10 / 3], [5, -6], [0, 0]]),  # weights 1/3 and 2/3
        (SqrtMean, [[4 / ROOT, -6 / ROOT], [5, -6], [0, 0]]),
        (Max, [[3, -2], [5, -6], [0, 0]]),
        (MeanMax, [[2, -3, 3, -2], [5, -6, 5, -6], [0, 0, 0, 0]]),
    ],
)
@pytest.mark.parametrize("mask_dtype", [torch.long, torch.bool, torch.float32])
def test_pool_gives_the_numbers_worked_out_by_hand(pool, expected, mask_dtype):
    built = pool(2)
    pooled = built(TOKENS, MASK.to(mask_dtype))
    assert pooled.shape == (3, built.size)
    torch.testing.assert_close(pooled, torch.tensor(expected, dtype=torch.float32))


def test_attention_weighs_tokens_by_softmax_over_the_unmasked_ones():
    pool = Attention(2)
    with torch.no_grad():
        pool.project.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 0.0]]))
        pool.project.bias.zero_()
        pool.query.weight.copy_(torch.tensor([[math.log(3), 0.0]]))
    tokens = torch.tensor([[[0.0, 1.0], [50.0, 5.0], [50.0, 99.0]]])  # tanh(0) = 0, tanh(50) = 1
    pooled = pool(tokens, torch.tensor([[1, 1, 0]]))
    # scores 0 and log 3: weights 1/4 and 3/4
    torch.testing.assert_close(pooled, torch.tensor([[37.5, 4.0]]))


def test_attention_weights_sum_to_one_over_the_unmasked_tokens():
    torch.manual_seed(0)
    tokens = torch.randn(5, 9, 8)
    tokens[..., 0] = 1  # a weighted sum of ones is the sum of the weights
    mask = (torch.rand(5, 9) < 0.5).long()
    mask[:, 3] = 1
    tokens[~mask.bool()] = 1e6
    torch.testing.assert_close(Attention(8)(tokens, mask)[:, 0], torch.ones(5))


def test_an_empty_row_attends_to_nothing():
    assert Attention(2)(TOKENS, MASK)[2].tolist() == [0, 0]


def test_pooler_hands_on_what_the_encoder_made_and_does_not_make_it_up():
    made = torch.tensor([[7.0, 8.0]])
    assert Pooler(2)(TOKENS, MASK, made) is made
    with pytest.raises(LookupError, match="pooler_output"):
        Pooler(2)(TOKENS, MASK)


def random_rows(side: str) -> tuple[torch.Tensor, torch.Tensor]:
    """(64, 12, 8) with 1 to 12 tokens a row; half of them with a hole in the mask."""
    generator = torch.Generator().manual_seed(4)
    tokens = torch.randn(64, 12, 8, generator=generator) - 2  # most values are negative: a max with zeros shows
    lengths = torch.randint(1, 13, (64, 1), generator=generator)
    places = torch.arange(12) if side == "right" else torch.arange(11, -1, -1)
    mask = (places < lengths).long()
    mask[::2, 5] *= (mask[::2].sum(dim=1) == 1).long()
    assert mask.any(dim=1).all()
    return tokens, mask


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize(
    ("pool", "mode"),
    [
        (Cls, "cls"),
        (LastToken, "lasttoken"),
        (Mean, "mean"),
        (Max, "max"),
        (SqrtMean, "mean_sqrt_len_tokens"),
        (MeanMax, ("mean", "max")),
    ],
)
def test_pool_agrees_with_sentence_transformers(pool, mode, side):
    tokens, mask = random_rows(side)
    theirs = Pooling(8, mode)({"token_embeddings": tokens, "attention_mask": mask})["sentence_embedding"]
    torch.testing.assert_close(pool(8)(tokens, mask), theirs, rtol=0, atol=1e-6)


def test_weighted_mean_agrees_with_sentence_transformers_where_the_padding_is_on_the_right():
    tokens, _ = random_rows("right")
    mask = (torch.arange(12) < torch.arange(64).unsqueeze(1) % 12 + 1).long()
    theirs = Pooling(8, "weightedmean")({"token_embeddings": tokens, "attention_mask": mask})["sentence_embedding"]
    torch.testing.assert_close(WeightedMean(8)(tokens, mask), theirs, rtol=0, atol=1e-6)


def test_weighted_mean_numbers_the_tokens_and_not_the_padding_before_them():
    tokens, mask = random_rows("left")
    for row, keep in zip(tokens, mask.bool(), strict=True):
        kept = row[keep]
        places = torch.arange(1, len(kept) + 1).unsqueeze(1)
        pooled = WeightedMean(8)(row.unsqueeze(0), keep.unsqueeze(0))[0]
        torch.testing.assert_close(pooled, (places * kept).sum(dim=0) / places.sum())


def test_mean_of_512_tokens_of_200_is_200_in_half_precision():
    tokens = torch.full((1, 512, 3), 200.0, dtype=torch.float16)
    mask = torch.ones(1, 512, dtype=torch.long)
    assert Mean(3)(tokens, mask).tolist() == [[200.0] * 3]
    assert MeanMax(3)(tokens, mask).tolist() == [[200.0] * 6]
    assert WeightedMean(3)(tokens, mask)[0, 0].item() == pytest.approx(200, rel=1e-3)
    assert SqrtMean(3)(tokens, mask)[0, 0].item() == pytest.approx(200 * math.sqrt(512), rel=1e-3)
    assert Attention(3).half()(tokens, mask)[0, 0].item() == pytest.approx(200, rel=1e-3)


def test_max_of_negative_dimensions_is_negative_in_every_dtype():
    for dtype in DTYPES:
        tokens = torch.tensor([[[-3.0], [-2.0], [0.0]]], dtype=dtype)
        assert Max(1)(tokens, torch.tensor([[1, 1, 0]])).tolist() == [[-2.0]]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("pool", POOLS)
def test_an_empty_row_gives_zeros_and_a_finite_gradient_in_every_dtype(pool, dtype):
    torch.manual_seed(0)
    tokens = TOKENS.to(dtype, copy=True).requires_grad_()
    pooled = pool(2).to(dtype)(tokens, MASK)
    assert pooled.dtype == dtype
    assert pooled[2].abs().max() == 0
    pooled.sum().backward()
    assert torch.isfinite(tokens.grad).all()
    assert tokens.grad[~MASK.bool()].abs().max() == 0


@pytest.mark.parametrize("pool", POOLS)
def test_what_stands_in_the_padding_is_never_read(pool):
    torch.manual_seed(0)
    built = pool(2)
    spoiled = TOKENS.masked_fill(~MASK.bool().unsqueeze(-1), float("nan"))
    before, mask = spoiled.clone(), MASK.clone()
    assert torch.equal(built(spoiled, mask), built(TOKENS, MASK))
    assert torch.equal(spoiled.nan_to_num(-1), before.nan_to_num(-1))
    assert torch.equal(mask, MASK)


@pytest.mark.parametrize("pool", [Mean, WeightedMean, SqrtMean, Attention])
def test_float64_is_not_rounded_to_float32_on_the_way(pool):
    torch.manual_seed(0)
    built = pool(4).double()
    tokens = torch.randn(2, 3, 4, dtype=torch.float64)
    step = torch.zeros_like(tokens)
    step[..., 1] = 1e-12
    mask = torch.ones(2, 3, dtype=torch.long)
    change = built(tokens + step, mask) - built(tokens, mask)
    assert 1e-13 < change.abs().max() < 1e-11
