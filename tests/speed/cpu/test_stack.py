"""An encoder whose layers are compiled, against transformers' own."""

import copy

import pytest
import torch
from transformers import BertConfig, BertModel, RobertaConfig, RobertaModel

from head2head.data.batching import Batch
from head2head.model.encoder import Encoder
from head2head.model.finetuner import FineTuner
from head2head.model.heads import Layer, Linear, Mean, SentenceHead
from head2head.model.optimizer import OptimizerSettings, build_optimizer
from head2head.model.output import Needs
from head2head.speed.cpu import stack
from head2head.speed.cpu.layer import MORE
from head2head.speed.cpu.stack import use_compiled_layers
from head2head.speed.dropout import use_fast_dropout
from head2head.speed.first_token import use_first_token_layer
from small_bert import IDS, LENGTHS, NEEDS, SIZES, mask_of, states, two_encoders


def twins(needs: Needs, frozen: int = 0, **config: float) -> list[Encoder]:
    """The same encoder compiled, and as transformers computes it."""
    compiled, plain = two_encoders(needs, frozen, **config)
    for encoder in (compiled, plain):
        use_first_token_layer(encoder)
    assert use_compiled_layers(compiled) is None
    assert isinstance(compiled.runner, stack.CompiledLayers)
    return [compiled, plain]


@pytest.mark.parametrize("needs", NEEDS)
@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("lengths", LENGTHS)
def test_states_and_gradients_are_those_of_transformers(needs, side, lengths):
    compiled, plain = (part.double().train() for part in twins(NEEDS[needs]))
    mask = mask_of(LENGTHS[lengths], side)
    found, expected = (states(part(IDS, mask, IDS % 2)) for part in (compiled, plain))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    for one in (found, expected):
        one.pow(3).sum().backward()
    largest = max(p.grad.abs().max().item() for p in plain.parameters() if p.grad is not None)
    for (name, a), (other, b) in zip(plain.named_parameters(), compiled.named_parameters(), strict=True):
        assert name == other
        assert (a.grad is None) == (b.grad is None), name
        if a.grad is not None:
            torch.testing.assert_close(b.grad, a.grad, rtol=1e-9, atol=1e-12 * largest, msg=name)


@pytest.mark.parametrize("frozen", [1, 2])
def test_frozen_layers_have_neither_gradients_nor_dropout(frozen):
    compiled, plain = (part.double().train() for part in twins(Needs(frozenset({frozen, 3})), frozen))
    mask = mask_of(LENGTHS["padded"])
    for one in (compiled, plain):
        states(one(IDS, mask)).pow(3).sum().backward()
    for a, b in zip(plain.parameters(), compiled.parameters(), strict=True):
        assert (a.grad is None) == (b.grad is None)
        if a.grad is not None:
            torch.testing.assert_close(b.grad, a.grad, rtol=1e-9, atol=1e-9)
    flickering, _ = twins(Needs(frozenset({frozen, 3})), frozen, hidden_dropout_prob=0.3)
    flickering.train()
    first, second = (flickering(IDS, mask) for _ in range(2))
    assert torch.equal(first.hidden_state(frozen), second.hidden_state(frozen))
    assert not torch.equal(first.last_hidden_state, second.last_hidden_state)


def test_training_starts_above_known_states():
    compiled, _ = (part.double().train() for part in twins(Needs(frozenset({1, 3})), frozen=1))
    mask = mask_of(LENGTHS["padded"])
    whole = compiled(IDS, mask)
    above = compiled(IDS, mask, known={1: whole.hidden_state(1)})
    torch.testing.assert_close(states(above), states(whole), rtol=1e-12, atol=1e-12)


def test_the_first_20_losses_are_those_of_transformers():
    """In single precision, with all that a run has on a CPU but dropout."""
    losses = []
    for encoder in twins(Needs(frozenset({3}))):
        torch.manual_seed(1)
        use_fast_dropout(encoder.model)
        head = SentenceHead(Layer, Mean, Linear, encoder.spec, 2)
        model = FineTuner(encoder, head, ["a", "b"], ["accuracy"], {}, 0).train()
        optimizer, schedule = build_optimizer(encoder, head, OptimizerSettings(lr=3e-3, warmup_ratio=0), 20, True)
        losses.append([])
        generator = torch.Generator().manual_seed(2)
        for _ in range(20):
            ids = torch.randint(5, 60, IDS.shape, generator=generator)
            mask = mask_of(LENGTHS["padded"])
            batch = Batch(ids, mask, ids % 2, 1 - mask, prediction_ids=torch.arange(4))
            loss = model.loss(model(batch), torch.randint(0, 2, (4,), generator=generator))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses[-1].append(loss.item())
    assert losses[0] == pytest.approx(losses[1], rel=0, abs=1e-4)
    assert max(losses[1]) - min(losses[1]) > 0.1


def test_training_means_are_those_of_torchs_dropout():
    compiled, plain = twins(Needs(frozenset({3})), hidden_dropout_prob=0.2, attention_probs_dropout_prob=0.2)
    torch.manual_seed(0)
    ids, mask = (part[:1].repeat(1500, 1) for part in (IDS, mask_of(LENGTHS["padded"])))  # each with masks of its own
    with torch.no_grad():
        samples = [part.train()(ids, mask).last_hidden_state[:, 0] for part in (compiled, plain)]
    error = (samples[0].var(dim=0) / 1500 + samples[1].var(dim=0) / 1500).sqrt()
    assert ((samples[0].mean(dim=0) - samples[1].mean(dim=0)) / error).abs().max() < 4.5
    assert (samples[0].var(dim=0) / samples[1].var(dim=0)).log().abs().max() < 0.3


def test_masks_follow_from_torchs_generator():
    compiled, _ = twins(Needs(frozenset({3})), hidden_dropout_prob=0.2, attention_probs_dropout_prob=0.2)
    found = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        found.append(compiled.train()(IDS, mask_of(LENGTHS["padded"])).last_hidden_state)
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_evaluation_is_torchs_own():
    compiled, plain = (part.eval() for part in twins(Needs(frozenset({3})), hidden_dropout_prob=0.2))
    mask = mask_of(LENGTHS["padded"])
    assert torch.equal(compiled(IDS, mask).last_hidden_state, plain(IDS, mask).last_hidden_state)


def test_other_precisions_are_torchs_own():
    compiled, plain = (part.train() for part in twins(Needs(frozenset({3}))))
    mask = mask_of(LENGTHS["full"])
    with torch.autocast("cpu", torch.bfloat16):
        found, expected = (part(IDS, mask).last_hidden_state for part in (compiled, plain))
    assert torch.equal(found, expected)
    found, expected = (part.bfloat16()(IDS, mask).last_hidden_state for part in (compiled, plain))
    assert torch.equal(found, expected)


@pytest.mark.parametrize(
    "model",
    [
        lambda: BertModel(BertConfig(**SIZES, hidden_act="relu")),
        lambda: BertModel(BertConfig(**SIZES, attn_implementation="eager")),
        lambda: RobertaModel(RobertaConfig(**SIZES)),
    ],
    ids=["another activation", "attentions are read", "another family"],
)
def test_other_models_are_left_as_they_are(model):
    encoder = Encoder(model(), Needs(frozenset({3})))
    assert use_compiled_layers(encoder) is None
    assert encoder.runner is None


def test_where_no_layer_trains_nothing_is_compiled(monkeypatch):
    monkeypatch.setattr(stack, "why_not", lambda _: pytest.fail("asked for a compiler"))
    model = BertModel(BertConfig(**SIZES))
    for encoder in (Encoder(copy.deepcopy(model), Needs(frozenset({3})), True), Encoder(model, Needs(frozenset({0})))):
        assert use_compiled_layers(encoder) is None
        assert encoder.runner is None


@pytest.mark.parametrize("kind", [torch.float32, torch.bool, torch.int32])
def test_masks_of_any_type_are_understood(kind):
    compiled, plain = (part.double().train() for part in twins(Needs(frozenset({3}))))
    mask = mask_of(LENGTHS["padded"])
    found = compiled(IDS, mask.to(kind)).last_hidden_state[mask.bool()]
    torch.testing.assert_close(found, plain(IDS, mask).last_hidden_state[mask.bool()], rtol=1e-9, atol=1e-12)


def test_a_batch_without_any_token_has_gradients_of_zero():
    compiled, _ = twins(Needs(frozenset({3})), hidden_dropout_prob=0.1)
    found = compiled.train()(IDS, torch.zeros_like(IDS)).last_hidden_state
    assert torch.equal(found, torch.zeros(4, 7, 24))
    found.sum().backward()
    for parameter in compiled.parameters():
        assert torch.equal(parameter.grad, torch.zeros_like(parameter))


def test_masks_above_frozen_layers_are_the_same_whether_these_run_or_are_known():
    compiled, _ = twins(Needs(frozenset({1, 3})), frozen=1, hidden_dropout_prob=0.2, attention_probs_dropout_prob=0.2)
    mask = mask_of(LENGTHS["padded"])
    torch.manual_seed(0)
    whole = compiled.train()(IDS, mask)
    torch.manual_seed(0)
    above = compiled(IDS, mask, known={1: whole.hidden_state(1)})
    assert torch.equal(states(above), states(whole))


def test_memory_for_gradients_is_kept_for_the_next_batch_and_what_stands_in_it_is_not_read():
    compiled, _ = twins(Needs(frozenset({3})), hidden_dropout_prob=0.1)
    free = compiled.runner.buffers.free
    gradients = []
    for _ in range(2):
        torch.manual_seed(0)
        compiled.zero_grad()
        compiled.train()(IDS, mask_of(LENGTHS["padded"])).last_hidden_state.pow(3).sum().backward()
        gradients.append([parameter.grad for parameter in compiled.parameters()])
        addresses = [buffer.data_ptr() for buffer in free]
        for buffer in free:
            buffer.fill_(torch.nan)
    assert len(free) == 3
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))
    compiled(IDS, mask_of(LENGTHS["full"])).last_hidden_state.sum().backward()
    assert sorted(addresses) == sorted(buffer.data_ptr() for buffer in free)


def test_two_batches_before_a_gradient_have_memory_of_their_own():
    compiled, plain = (part.double().train() for part in twins(Needs(frozenset({3}))))
    for part in (compiled, plain):
        first, second = (part(IDS, mask_of(LENGTHS[lengths])) for lengths in LENGTHS)
        (states(first).pow(3).sum() + states(second).pow(3).sum()).backward()
    for (name, a), b in zip(plain.named_parameters(), compiled.parameters(), strict=True):
        torch.testing.assert_close(b.grad, a.grad, rtol=1e-9, atol=1e-9, msg=name)
    assert len(compiled.runner.buffers.free) == 6


def test_a_longer_batch_takes_the_place_of_memory_that_is_too_short_for_it():
    compiled, _ = twins(Needs(frozenset({3})))
    free = compiled.runner.buffers.free
    for length in (2, 7 * MORE):
        ids = torch.full((1, length), 6)
        compiled.train()(ids, torch.ones_like(ids)).last_hidden_state.sum().backward()
        assert len(free) == 3
    compiled(ids, torch.ones_like(ids))  # whose gradient nobody asks for
    with torch.no_grad():
        compiled(ids, torch.ones_like(ids))
    assert len({buffer.data_ptr() for buffer in free}) == len(free)
