"""A batch without its padding."""

import pytest
import torch

from head2head.speed.packing import Packing

MASKS = {
    "padded": [[1, 1, 1, 0], [1, 0, 0, 0], [1, 1, 0, 0]],
    "left": [[0, 1, 1, 1], [0, 0, 0, 1], [0, 0, 1, 1]],
    "a text without tokens": [[1, 1, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]],
    "full": [[1] * 4] * 3,
    "no token at all": [[0] * 4] * 3,
}


@pytest.fixture(params=MASKS)
def mask(request):
    return torch.tensor(MASKS[request.param])


def test_tokens_come_back_where_they_were_and_padding_is_zero(mask):
    packing = Packing.of(mask)
    states = torch.arange(1.0, mask.numel() * 3 + 1).view(*mask.shape, 3)
    row = packing.packed(states)
    assert torch.equal(row, states[mask.bool()])
    assert torch.equal(packing.unpacked(row), states * mask.unsqueeze(-1))


def test_offsets_bound_the_texts(mask):
    packing = Packing.of(mask)
    assert packing.offsets.diff().tolist() == mask.sum(dim=1).tolist()
    assert packing.offsets[0] == 0


def test_gradients_reach_tokens_alone(mask):
    packing = Packing.of(mask)
    states = torch.ones(*mask.shape, 2, requires_grad=True)
    (packing.unpacked(packing.packed(states)) * 3).sum().backward()
    assert torch.equal(states.grad, 3.0 * mask.unsqueeze(-1).expand(-1, -1, 2))
