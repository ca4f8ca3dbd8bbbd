"""On a GPU, where there is one: its kernels, and graphs that replay them."""

import pytest
import torch
from test_graphed_layers import recordings, twins

from head2head.configuration import compose
from head2head.encoder import Needs
from head2head.graphs.attention import flash_attention, masked_attention, memory_efficient_attention
from head2head.graphs.stack import PRECISIONS, GraphedLayers, use_cuda_graphs
from head2head.packing import Packing
from head2head.run import run
from small_bert import NEEDS, states

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
DROPOUT = {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}
WIDE = {"hidden_size": 64, "num_attention_heads": 2}  # heads of 32, as kernels want
OFFSETS = torch.tensor([0, 5, 6, 6, 130], dtype=torch.int32)


@pytest.mark.parametrize(
    ("kernel", "dtype", "tolerance"),
    [
        (flash_attention, torch.bfloat16, 2e-2),
        (flash_attention, torch.float16, 2e-3),
        (memory_efficient_attention, torch.float16, 2e-3),
        (memory_efficient_attention, torch.float32, 5e-5),
    ],
)
def test_kernels_give_what_a_mask_gives(kernel, dtype, tolerance):
    torch.manual_seed(0)
    parts = [torch.randn(130, 2, 32, dtype=dtype, device="cuda", requires_grad=True) for _ in range(3)]
    offsets = OFFSETS.cuda()
    found = kernel(*parts, offsets, 128, 0.0, 0.2)
    exact = [part.detach().double().requires_grad_() for part in parts]
    expected = masked_attention(*exact, offsets, 0.0, 0.2)
    torch.testing.assert_close(found.double(), expected, rtol=tolerance, atol=tolerance)
    weights = torch.randn(130, 2, 32, device="cuda")
    gradients = torch.autograd.grad((found * weights).sum(), parts)
    for a, b in zip(gradients, torch.autograd.grad((expected * weights).sum(), exact), strict=True):
        torch.testing.assert_close(a.double(), b, rtol=5 * tolerance, atol=5 * tolerance)


@pytest.mark.parametrize(
    ("kernel", "dtype"), [(flash_attention, torch.bfloat16), (memory_efficient_attention, torch.float32)]
)
def test_kernels_drop_weights_out(kernel, dtype):
    """Queries of zero weigh all 124 tokens of the last text alike; what comes out of values of one is how many stay."""
    zero = torch.zeros(130, 64, 32, dtype=dtype, device="cuda")
    found = kernel(zero, zero, torch.ones_like(zero), OFFSETS.cuda(), 128, 0.3, 1.0)[6:, :, 0].float()
    assert found.mean().item() == pytest.approx(1, abs=0.02)
    assert found.std().item() == pytest.approx((0.3 / 0.7 / 124) ** 0.5, rel=0.1)


@pytest.mark.parametrize("needs", NEEDS)
@pytest.mark.parametrize(
    ("precision", "tolerance"), [("32-true", 1e-3), ("bf16-mixed", 2e-2), ("bf16-true", 5e-2), ("16-mixed", 1e-2)]
)
def test_replays_give_the_states_and_gradients_of_layers_that_are_not_recorded(needs, precision, tolerance):
    """From the same weights and dropout; but for the order in which kernels add."""
    encoder, dtype = twins(NEEDS[needs], **WIDE, **DROPOUT)[0].cuda().train(), PRECISIONS[precision]
    assert use_cuda_graphs(encoder, torch.device("cuda", 0), precision) is None
    encoder.to(dtype if precision.endswith("true") else torch.float32)
    mixed = torch.autocast("cuda", dtype, enabled=precision.endswith("mixed"), cache_enabled=False)
    ids = torch.arange(5, 33, device="cuda").view(4, 7)
    mask = (torch.arange(7) < torch.tensor([7, 4, 1, 5]).unsqueeze(1)).long().cuda()

    def step(seed):
        torch.manual_seed(seed)
        encoder.zero_grad()
        with mixed:
            found = states(encoder(ids + seed, mask))
        found.float().pow(2).sum().backward()
        return [found.detach().clone(), *(p.grad.clone() for p in encoder.parameters() if p.grad is not None)]

    whole, encoder.packed_layers = encoder.packed_layers, GraphedLayers()
    expected = []
    for seed in range(4):
        encoder.packed_layers._met.clear()
        expected.append(step(seed))
    assert recordings(encoder) == 0
    encoder.packed_layers = whole
    for seed in range(4):
        for a, b in zip(step(seed), expected[seed], strict=True):
            assert (a - b).double().norm() <= tolerance * b.double().norm() + 1e-6
    assert recordings(encoder) == 1


def test_every_replay_draws_its_own_dropout_masks_from_the_seed():
    encoder = twins(Needs(frozenset({3})), **WIDE, **DROPOUT)[0].cuda().train()
    ids = torch.arange(5, 33, device="cuda").view(4, 7)
    found = []
    for seed in (0, 0, 1, 1, 2):
        torch.manual_seed(seed)
        found.append(encoder(ids, torch.ones_like(ids)).last_hidden_state.detach().clone())
    assert recordings(encoder) == 1
    torch.testing.assert_close(found[0], found[1])
    torch.testing.assert_close(found[2], found[3])
    assert not torch.allclose(found[1], found[2], atol=1e-2)
    assert not torch.allclose(found[3], found[4], atol=1e-2)


def test_a_step_does_not_wait_for_the_gpu():
    encoder = twins(Needs(frozenset({3}), first_only=True), **WIDE, **DROPOUT)[0].cuda().train()
    ids = torch.arange(5, 33).view(4, 7)
    mask = torch.ones_like(ids)
    packing = encoder.packed_layers.packing(mask).pin_memory()
    ids, mask = ids.cuda(), mask.cuda()
    for turn in range(4):
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("error" if turn > 1 else "default")
        try:
            encoder(ids, mask, packing=packing.to("cuda")).hidden_state(3).sum().backward()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert recordings(encoder) == 1


def test_a_row_that_is_moved_from_pinned_memory_is_the_same():
    packing = Packing.of(torch.tensor([[1, 1, 0], [1, 1, 1]])).filled()
    moved = packing.pin_memory().to("cuda")
    torch.cuda.synchronize()
    assert torch.equal(moved.places.cpu(), packing.places)
    assert torch.equal(moved.offsets.cpu(), packing.offsets)


@pytest.mark.parametrize("head", ["mean", "pooler", "max"])
def test_a_run_trains(head, tmp_path):
    overrides = [
        "encoder=random-tiny", f"head={head}", "trainer.precision=bf16-mixed", "cuda_graphs=true",
        "trainer.accelerator=gpu", "trainer.enable_progress_bar=false", "task.rows.train=200",
        f"output_dir={tmp_path}", f"cache_dir={tmp_path}/cache",
    ]  # fmt: skip
    result = run(compose(overrides), overrides)
    assert result.notes == []
    assert 0 <= result.score <= 1
