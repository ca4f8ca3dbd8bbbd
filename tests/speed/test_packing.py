"""A batch without its padding."""

import pytest
import torch

from head2head.speed.packing import Packing, rounded, steps_to

MASKS = {
    "padded": [[1, 1, 1, 0], [1, 0, 0, 0], [1, 1, 0, 0]],
    "left": [[0, 1, 1, 1], [0, 0, 0, 1], [0, 0, 1, 1]],
    "a text without tokens": [[1, 1, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]],
    "full": [[1] * 4] * 32,  # as many tokens as a row that is filled up has
    "no token at all": [[0] * 4] * 3,
}


@pytest.fixture(params=MASKS)
def mask(request):
    return torch.tensor(MASKS[request.param])


@pytest.mark.parametrize("filled", [False, True])
def test_tokens_come_back_where_they_were_and_padding_is_zero(mask, filled):
    packing = Packing.of(mask).filled() if filled else Packing.of(mask)
    states = torch.arange(1.0, mask.numel() * 3 + 1).view(*mask.shape, 3)
    row = packing.packed(states)
    assert torch.equal(row[: packing.tokens], states[mask.bool()])
    assert torch.equal(packing.unpacked(row), states * mask.unsqueeze(-1))


def test_offsets_bound_the_texts(mask):
    packing = Packing.of(mask)
    lengths = mask.sum(dim=1).tolist()
    assert packing.offsets.diff().tolist() == lengths
    filled = packing.filled()
    rest = len(filled.places) - packing.tokens
    assert filled.offsets.diff().tolist() == [*lengths, rest]
    assert filled.offsets[-1] == len(filled.places) == rounded(packing.tokens)


@pytest.mark.parametrize("filled", [False, True])
def test_gradients_reach_tokens_alone(mask, filled):
    packing = Packing.of(mask).filled() if filled else Packing.of(mask)
    states = torch.ones(*mask.shape, 2, requires_grad=True)
    (packing.unpacked(packing.packed(states)) * 3).sum().backward()
    assert torch.equal(states.grad, 3.0 * mask.unsqueeze(-1).expand(-1, -1, 2))


def test_rows_have_few_lengths():
    assert sorted({rounded(count) for count in range(1025)}) == [128 * n for n in range(1, 9)]
    for power in (1024, 2048, 4096):
        lengths = {rounded(count) for count in range(power + 1, 2 * power + 1)}
        assert len(lengths) == 8
        assert max(lengths) == 2 * power
    for count in range(5000):
        assert 0 <= rounded(count) - count < steps_to(count) or count == 0
        assert rounded(count) % steps_to(count) == 0
        if count > 1024:
            assert rounded(count) < count * 9 / 8


def test_it_is_moved_and_stays_the_same():
    packing = Packing.of(torch.tensor(MASKS["padded"])).filled()
    moved = packing.to("meta")
    assert moved.places.device.type == moved.offsets.device.type == "meta"
    assert (moved.shape, moved.tokens) == ((3, 4), 6)
    assert packing.places.device.type == "cpu"
