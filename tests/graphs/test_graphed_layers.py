"""An encoder whose layers are recorded, against transformers' own: on a CPU, as in test_recording.py."""

import itertools

import pytest
import torch
from transformers import BertConfig, BertModel, RobertaModel

from head2head.dropout import use_fast_dropout
from head2head.encoder import Encoder, Needs
from head2head.errors import UserError
from head2head.finetuner import FineTuner
from head2head.graphs import stack
from head2head.graphs.recording import Memory, RecordingFailed
from head2head.graphs.stack import GraphedLayers, use_cuda_graphs
from head2head.heads import Layer, Linear, Mean, SentenceHead
from head2head.optimizer import OptimizerSettings, build_optimizer
from small_bert import IDS, LENGTHS, NEEDS, SIZES, mask_of, states, two_encoders


def twins(needs: Needs, frozen: int = 0, **config: float) -> list[Encoder]:
    """The same encoder with recorded layers, and as transformers computes it."""
    graphed, plain = two_encoders(needs, frozen, **config)
    graphed.packed_layers = GraphedLayers()
    return [graphed, plain]


def recordings(encoder: Encoder) -> int:
    return len(encoder.packed_layers._recordings)


@pytest.mark.parametrize("needs", NEEDS)
@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("lengths", LENGTHS)
def test_states_and_gradients_are_those_of_transformers_in_every_replay(needs, side, lengths):
    graphed, plain = (part.double().train() for part in twins(NEEDS[needs]))
    mask = mask_of(LENGTHS[lengths], side)
    for turn in range(4):  # as it is, recorded, replayed, replayed
        ids = (IDS + 7 * turn) % 60
        for part in (plain, graphed):
            part.zero_grad()
        found, expected = (states(part(ids, mask, ids % 2)) for part in (graphed, plain))
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
        for one in (found, expected):
            one.pow(3).sum().backward()
        largest = max(p.grad.abs().max().item() for p in plain.parameters() if p.grad is not None)
        for (name, a), b in zip(plain.named_parameters(), graphed.parameters(), strict=True):
            assert (a.grad is None) == (b.grad is None), name
            if a.grad is not None:
                torch.testing.assert_close(b.grad, a.grad, rtol=1e-9, atol=1e-12 * largest, msg=name)
    assert recordings(graphed) == 1


@pytest.mark.parametrize("frozen", [1, 2])
def test_frozen_layers_have_neither_gradients_nor_dropout(frozen):
    graphed, plain = (part.double().train() for part in twins(Needs(frozenset({frozen, 3})), frozen))
    mask = mask_of(LENGTHS["padded"])
    for _ in range(3):
        for one in (graphed, plain):
            one.zero_grad()
            states(one(IDS, mask)).pow(3).sum().backward()
        for a, b in zip(plain.parameters(), graphed.parameters(), strict=True):
            assert (a.grad is None) == (b.grad is None)
            if a.grad is not None:
                torch.testing.assert_close(b.grad, a.grad, rtol=1e-9, atol=1e-9)
    assert recordings(graphed) == 1
    p = {"hidden_dropout_prob": 0.3, "attention_probs_dropout_prob": 0.3}
    flickering, _ = twins(Needs(frozenset({frozen, 3})), frozen, **p)
    flickering.train()
    found = []
    for _ in range(3):
        output = flickering(IDS, mask)
        assert not output.hidden_state(frozen).requires_grad
        found.append([output.hidden_state(layer).detach().clone() for layer in (frozen, 3)])
    assert torch.equal(found[1][0], found[2][0])
    assert not torch.equal(found[1][1], found[2][1])


def test_training_starts_above_known_states():
    graphed, _ = (part.double().train() for part in twins(Needs(frozenset({1, 3})), frozen=1))
    mask = mask_of(LENGTHS["padded"])
    for _ in range(3):
        whole = states(graphed(IDS, mask)).detach().clone()
        known = {1: graphed(IDS, mask).hidden_state(1).detach().clone()}
        torch.testing.assert_close(states(graphed(IDS, mask, known=known)), whole, rtol=1e-12, atol=1e-12)


def train(encoder: Encoder, accumulate: int = 1, device: str = "cpu") -> list[float]:
    """Losses of 20 steps on batches of several sizes."""
    torch.manual_seed(1)
    head = SentenceHead(Layer, Mean, Linear, encoder.spec, 2)
    head.to(device, next(encoder.parameters()).dtype)
    model = FineTuner(encoder, head, ["a", "b"], ["accuracy"], {}, 0).train()
    optimizer, schedule = build_optimizer(encoder, head, OptimizerSettings(lr=3e-3, warmup_ratio=0), 20, True)
    losses, generator = [], torch.Generator().manual_seed(2)
    for step in range(20):
        optimizer.zero_grad()
        for _ in range(accumulate):
            texts, length = ((4, 7), (8, 5), (6, 40), (8, 90))[step % 4]
            ids = torch.randint(5, 60, (texts, length), generator=generator)
            mask = (torch.arange(length) < torch.randint(1, length + 1, (texts, 1), generator=generator)).long()
            batch = {"input_ids": ids, "attention_mask": mask, "token_type_ids": ids % 2,
                     "special_tokens_mask": 1 - mask}  # fmt: skip
            labels = torch.randint(0, 2, (texts,), generator=generator)
            torch.manual_seed(step)
            loss = model.loss(model({name: part.to(device) for name, part in batch.items()}), labels.to(device))
            loss.backward()
            losses.append(loss.item())
        optimizer.step()
        schedule.step()
    return losses


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_first_20_losses_are_those_of_transformers(accumulate):
    losses = []
    for encoder in twins(Needs(frozenset({3}))):
        use_fast_dropout(encoder.model)
        losses.append(train(encoder, accumulate))
    assert losses[0] == pytest.approx(losses[1], rel=0, abs=1e-4)
    assert max(losses[1]) - min(losses[1]) > 0.1


def test_recordings_change_no_number(monkeypatch):
    """With dropout: what is not recorded draws the same masks."""
    found = []
    for recorded in (True, False):
        encoder, _ = twins(Needs(frozenset({3})), hidden_dropout_prob=0.2, attention_probs_dropout_prob=0.2)
        if not recorded:
            monkeypatch.setattr(stack, "Recording", lambda *_: pytest.fail("recorded"))
            monkeypatch.setattr(encoder.packed_layers, "_met", Everything())
        found.append(train(encoder))
        assert bool(recordings(encoder)) == recorded
    assert found[0] == found[1]


class Everything(set):
    """A set that lacks whatever it is asked for."""

    def __contains__(self, _):
        return False


def test_few_sizes_are_recorded_and_each_when_it_comes_again():
    graphed, _ = twins(Needs(frozenset({3})))
    graphed.train()
    seen = []
    for length in (28, 24, 20, 30, 50, 28, 60, 33):  # of four texts: rows of 128 tokens, or of 256
        ids = torch.arange(4 * length).view(4, length) % 60
        graphed(ids, torch.ones_like(ids)).last_hidden_state.sum().backward()
        seen.append(recordings(graphed))
    assert seen == [0, 1, 1, 1, 1, 1, 2, 2]


def test_what_a_recording_holds_for_is_looked_at_each_time():
    graphed, plain = twins(Needs(frozenset({3})))
    mask = mask_of(LENGTHS["padded"])

    def right(count):
        for _ in range(2):
            found, expected = (part.train()(IDS, mask).last_hidden_state[mask.bool()] for part in (graphed, plain))
            torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
            found.sum().backward()
        assert recordings(graphed) == count

    right(1)
    for part in (graphed, plain):  # weights in another place
        for parameter in part.parameters():
            parameter.data = parameter.data * 1.5
    right(2)
    for part in (graphed, plain):
        part.layers[2].output.dropout.p = 1.0
    right(3)
    for part in (graphed, plain):
        part.double()
    right(4)
    for part in (graphed, plain):
        part.float()
    right(5)
    with torch.autocast("cpu", torch.bfloat16):
        found = [graphed(IDS, mask).last_hidden_state.detach().clone() for _ in range(3)]
    assert recordings(graphed) == 6
    for one in found:
        assert torch.equal(one, found[0])


def test_dropout_of_attentions_weights_is_drawn_in_each_replay():
    graphed, _ = twins(Needs(frozenset({3})), attention_probs_dropout_prob=0.3)
    mask = mask_of(LENGTHS["full"])
    found = [graphed.train()(IDS, mask).last_hidden_state.detach().clone() for _ in range(4)]
    assert all(not torch.equal(a, b) for a, b in itertools.combinations(found, 2))


def test_no_text_is_longer_than_kernels_are_told(monkeypatch):
    """What a row is filled up with is one, too."""
    asked, attention = [], stack.attention

    def noted(query, key, value, offsets, longest, *others):
        asked.append((offsets.diff().max().item(), longest))
        assert offsets[-1] == len(query)
        return attention(query, key, value, offsets, longest, *others)

    monkeypatch.setattr(stack, "attention", noted)
    graphed, _ = twins(Needs(frozenset({1})), max_position_embeddings=600)
    for texts, length in ((1, 1), (1, 129), (40, 27), (9, 230), (70, 60)):
        ids = torch.full((texts, length), 6)
        graphed.train()(ids, torch.ones_like(ids))
    assert all(found <= longest for found, longest in asked)
    assert max(found for found, _ in asked) == 4608 - 70 * 60
    assert {longest for _, longest in asked} == {128, 256, 512}


def test_evaluation_is_torchs_own():
    graphed, plain = (part.eval() for part in twins(Needs(frozenset({3})), hidden_dropout_prob=0.2))
    mask = mask_of(LENGTHS["padded"])
    assert torch.equal(graphed(IDS, mask).last_hidden_state, plain(IDS, mask).last_hidden_state)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            RuntimeError("operation not permitted when stream is capturing\nmore"),
            "operation not permitted when stream is",
        ),
        (torch.OutOfMemoryError("CUDA out of memory"), "CUDA out of memory"),
        (RecordingFailed("a replay is away"), "a replay is away"),
    ],
)
def test_what_cannot_be_recorded_ends_the_run_in_one_line(error, told, monkeypatch):
    def fail(*_):
        raise error

    monkeypatch.setattr(stack, "Recording", fail)
    graphed, _ = twins(Needs(frozenset({3})))
    with pytest.raises(UserError, match=f"^cuda_graphs: 128 tokens cannot be recorded: {told}.*; leave it out$"):
        train(graphed)


def test_gradients_of_all_sizes_lie_in_the_same_memory(monkeypatch):
    made = []
    monkeypatch.setattr(stack, "Memory", lambda module: made.append(Memory(module)) or made[-1])
    graphed, _ = twins(Needs(frozenset({3})))
    train(graphed)
    assert recordings(graphed) > 2
    assert len(made) == 1


CASES = {
    "a CPU": (BertModel, {}, False, "cpu", "32-true", "no effect on cpu"),
    "frozen": (BertModel, {}, True, "cuda", "32-true", "no layer of BERT is trained"),
    "attentions": (BertModel, {"attn_implementation": "eager"}, False, "cuda", "32-true", "attention=eager"),
    "another family": (RobertaModel, {}, False, "cuda", "32-true", "no layer of BERT is trained"),
    "double precision": (
        BertModel,
        {},
        False,
        "cuda",
        "64-true",
        "trainer.precision=64-true; choose from: 32-true, 16",
    ),
    "a kernel refuses": (BertModel, {}, False, "cuda", "bf16-mixed", "(cutlassF: no kernel found to launch!)"),
}


@pytest.mark.parametrize("case", CASES)
def test_where_it_has_no_effect_it_says_so(case, monkeypatch):
    monkeypatch.setattr(stack, "refused", lambda *_: "cutlassF: no kernel found to launch!")
    family, config, frozen, device, precision, reason = CASES[case]
    encoder = Encoder(family(family.config_class(**SIZES | config)), Needs(frozenset({3})), frozen)
    said = use_cuda_graphs(encoder, torch.device(device), precision)
    assert said.startswith("cuda_graphs: no effect")
    assert reason in said
    assert encoder.packed_layers is None


@pytest.mark.parametrize("precision", ["bf16-mixed", "32-true"])
def test_on_a_gpu_berts_layers_are_recorded(precision, monkeypatch):
    monkeypatch.setattr(stack, "refused", lambda *_: None)
    encoder = Encoder(BertModel(BertConfig(**SIZES)), Needs(frozenset({3})))
    use_fast_dropout(encoder.model)
    assert use_cuda_graphs(encoder, torch.device("cuda"), precision) is None
    assert isinstance(encoder.packed_layers, GraphedLayers)
