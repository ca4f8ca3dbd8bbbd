"""An encoder whose layers are recorded, against transformers' own: on a CPU, as in test_recording.py."""

import copy

import pytest
import torch
from torch import Tensor
from transformers import BertConfig, BertModel, RobertaConfig, RobertaModel

from head2head.dropout import use_fast_dropout
from head2head.encoder import Encoder, EncoderOutput, Needs
from head2head.finetuner import FineTuner
from head2head.graphs import stack
from head2head.graphs.recording import Memory
from head2head.graphs.stack import GraphedLayers, use_cuda_graphs
from head2head.heads import Layer, Linear, Mean, SentenceHead
from head2head.optimizer import OptimizerSettings, build_optimizer

SIZES = {
    "vocab_size": 60, "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 40,
    "max_position_embeddings": 200, "initializer_range": 0.3,
}  # fmt: skip
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
LENGTHS = {"padded": (7, 4, 0, 1), "full": (7, 7, 7, 7)}
IDS = torch.arange(5, 33).view(4, 7)
GPU = torch.device("cuda")


def mask_of(lengths: tuple[int, ...], side: str = "right") -> Tensor:
    mask = (torch.arange(7) < torch.tensor(lengths).unsqueeze(1)).long()
    return mask.flip(1) if side == "left" else mask


def twins(needs: Needs, frozen: int = 0, **config: float) -> tuple[Encoder, Encoder]:
    """The same encoder with recorded layers, and as transformers computes it."""
    torch.manual_seed(0)
    model = BertModel(BertConfig(**SIZES | NO_DROPOUT | config))
    graphed, plain = (Encoder(copy.deepcopy(model), needs, frozen) for _ in range(2))
    graphed.packed_layers = GraphedLayers()
    return graphed, plain


def recordings(encoder: Encoder) -> int:
    return len(encoder.packed_layers._recordings)


def states(output: EncoderOutput) -> Tensor:
    """All that was asked for of real tokens."""
    real = output.attention_mask.bool()
    pooled = [] if output.pooled is None else [output.pooled[real.any(dim=1)].flatten()]
    return torch.cat([state[real].flatten() for state in output.hidden_states.values()] + pooled)


NEEDS = {
    "last": Needs(frozenset({3})),
    "all": Needs(frozenset({0, 1, 2, 3})),
    "second to last": Needs(frozenset({2})),
    "pooler": Needs(frozenset({3}), pooler=True, first_only=True),
    "cls": Needs(frozenset({3}), first_only=True),
}


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
    flickering, _ = twins(Needs(frozenset({frozen, 3})), frozen, hidden_dropout_prob=0.3)
    flickering.train()
    found = []
    for _ in range(3):
        output = flickering(IDS, mask)
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
            texts, length = ((4, 7), (8, 5), (6, 20))[step % 3]
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
    for length in (7, 6, 7, 6, 5, 7, 3, 3):  # 28, 24, 20 and 12 tokens: rows of 32, 32, 32 and 16
        mask = torch.ones(4, length, dtype=torch.long)
        graphed(IDS[:, :length], mask).last_hidden_state.sum().backward()
        seen.append(recordings(graphed))
    assert seen == [0, 1, 1, 1, 1, 1, 1, 2]


def test_what_a_recording_holds_for_is_looked_at_each_time():
    graphed, plain = twins(Needs(frozenset({3})))
    mask = mask_of(LENGTHS["padded"])

    def right(count):
        for _ in range(2):
            found, expected = (part.train()(IDS, mask).last_hidden_state[mask.bool()] for part in (graphed, plain))
            torch.testing.assert_close(found, expected)
            found.sum().backward()
        assert recordings(graphed) == count

    right(1)
    for part in (graphed, plain):  # other precision, in other memory
        part.double()
    right(2)
    for part in (graphed, plain):
        part.layers[2].output.dropout.p = 1.0
    right(3)
    with torch.autocast("cpu", torch.bfloat16):
        for part in (graphed, plain):
            part.float()
        for _ in range(2):
            assert graphed(IDS, mask).last_hidden_state.isfinite().all()
    assert recordings(graphed) == 4


def test_evaluation_is_torchs_own():
    graphed, plain = (part.eval() for part in twins(Needs(frozenset({3})), hidden_dropout_prob=0.2))
    mask = mask_of(LENGTHS["padded"])
    assert torch.equal(graphed(IDS, mask).last_hidden_state, plain(IDS, mask).last_hidden_state)


@pytest.mark.parametrize("error", [RuntimeError("operation not permitted when stream is capturing\nmore"), MemoryError])
def test_what_cannot_be_recorded_is_computed_without_and_it_is_said_once(error, monkeypatch, capsys):
    def fail(*_):
        raise error

    monkeypatch.setattr(stack, "Recording", fail)
    graphed, plain = twins(Needs(frozenset({3})))
    if error is MemoryError:  # not a GPU's
        with pytest.raises(MemoryError):
            train(graphed)
        return
    losses = train(graphed)
    assert losses == pytest.approx(train(plain), abs=1e-4)
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith("cuda_graphs: not recorded (operation not permitted when stream is capturing); the same")
    assert graphed.packed_layers.note == said.strip()


def test_a_gpu_that_runs_out_of_memory_lets_go_of_all_recordings(monkeypatch):
    graphed, _ = twins(Needs(frozenset({3})))
    whole = stack.Recording

    def one(*arguments):
        if recordings(graphed):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(*arguments)

    monkeypatch.setattr(stack, "Recording", one)
    train(graphed)
    assert graphed.packed_layers.note.startswith("cuda_graphs: not recorded (CUDA out of memory)")
    assert recordings(graphed) == len(graphed.packed_layers._memory) == 0


def test_gradients_of_all_sizes_lie_in_the_same_memory(monkeypatch):
    made = []
    monkeypatch.setattr(stack, "Memory", lambda module: made.append(Memory(module)) or made[-1])
    graphed, _ = twins(Needs(frozenset({3})))
    train(graphed)
    assert recordings(graphed) > 2
    assert len(made) == 1


@pytest.mark.parametrize(
    ("model", "frozen", "device", "reason"),
    [
        (lambda: BertModel(BertConfig(**SIZES)), False, "cpu", "no effect on cpu"),
        (lambda: BertModel(BertConfig(**SIZES)), True, "cuda", "no layer of BERT is trained"),
        (lambda: BertModel(BertConfig(**SIZES, attn_implementation="eager")), False, "cuda", "attention=eager"),
        (lambda: RobertaModel(RobertaConfig(**SIZES)), False, "cuda", "no layer of BERT is trained"),
    ],
)
def test_where_it_has_no_effect_it_says_so(model, frozen, device, reason):
    encoder = Encoder(model(), Needs(frozenset({3})), frozen)
    said = use_cuda_graphs(encoder, torch.device(device))
    assert said.startswith("cuda_graphs: no effect")
    assert reason in said
    assert encoder.packed_layers is None


def test_on_a_gpu_berts_layers_are_recorded():
    encoder = Encoder(BertModel(BertConfig(**SIZES)), Needs(frozenset({3})))
    use_fast_dropout(encoder.model)
    assert use_cuda_graphs(encoder, GPU) is None
    assert isinstance(encoder.packed_layers, GraphedLayers)
