"""The door to what is faster: what it changes, what it says of it, and what it leaves alone."""

import copy

import pytest
import torch
from transformers import BertConfig, BertModel, RobertaConfig, RobertaModel

from head2head.model.encoder import Encoder
from head2head.model.output import Needs
from head2head.speed import apply as speed
from head2head.speed.apply import Trick
from head2head.speed.embeddings import ReducedEmbedding
from small_bert import IDS, LENGTHS, NO_DROPOUT, SIZES, mask_of

CPU = torch.device("cpu")
CLS = Needs(frozenset({3}), first_only=True)
MEAN = Needs(frozenset({3}))


def encoder(needs: Needs = MEAN, frozen: bool | int = False, **config: float) -> Encoder:
    torch.manual_seed(0)
    return Encoder(BertModel(BertConfig(**SIZES | config)), needs, frozen)


@pytest.mark.usefixtures("c_compiler")
@pytest.mark.parametrize(
    ("needs", "frozen", "precision", "expected"),
    [
        (MEAN, False, "32-true", "cpu compiled dropout16 reduced"),
        (CLS, False, "32-true", "cpu compiled dropout16 first_token reduced"),
        (CLS, False, "64-true", "cpu compiled dropout16 first_token reduced"),
        (MEAN, False, "bf16-mixed", "cpu torch dropout16 reduced"),
        (MEAN, False, "bf16-true", "cpu torch reduced"),
        (MEAN, 2, "32-true", "cpu compiled"),
        (MEAN, True, "32-true", "cpu torch"),
        (CLS, True, "32-true", "cpu torch first_token"),
    ],
)
def test_the_stream_names_what_is_used(needs, frozen, precision, expected):
    assert speed.apply(encoder(needs, frozen), CPU, precision).stream == expected


@pytest.mark.usefixtures("c_compiler")
@pytest.mark.parametrize(
    ("only", "expected"),
    [
        (set(), "cpu torch"),
        ({Trick.COMPILED}, "cpu compiled"),
        ({Trick.FIRST_TOKEN}, "cpu torch first_token"),
        ({Trick.DROPOUT}, "cpu torch dropout16"),
        ({Trick.EMBEDDINGS}, "cpu torch reduced"),
    ],
)
def test_a_trick_alone_is_that_trick_alone(only, expected):
    assert speed.apply(encoder(CLS), CPU, "32-true", only=only).stream == expected


def test_on_a_gpu_nothing_of_the_cpus_is_used():
    part = encoder(CLS)
    assert speed.apply(part, torch.device("cuda"), "32-true").stream == "cuda torch first_token reduced"
    assert part.runner is None


def test_other_families_keep_their_layers_and_their_dropout():
    torch.manual_seed(0)
    part = Encoder(RobertaModel(RobertaConfig(**SIZES)), MEAN)
    assert speed.apply(part, CPU, "32-true").stream == "cpu torch reduced"


def test_exact_is_the_library_alone_to_the_bit():
    """Same classes, same masks, same gradients as an encoder that never went through the door."""
    exact = encoder(CLS)
    untouched = copy.deepcopy(exact)
    applied = speed.apply(exact, CPU, "32-true", fast=False)
    assert (applied.stream, applied.notes) == ("cpu torch", ())
    assert [type(module) for module in exact.modules()] == [type(module) for module in untouched.modules()]
    found = []
    for part in (exact, untouched):
        torch.manual_seed(1)
        state = part.train()(IDS, mask_of(LENGTHS["padded"])).last_hidden_state
        state.pow(3).sum().backward()
        found.append([state, *(parameter.grad for parameter in part.parameters() if parameter.grad is not None)])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("fast", [True, False])
def test_only_a_fast_run_trains_reduced_embeddings(fast):
    part = encoder()
    with speed.training(part, IDS.flatten(), CPU, fast):
        assert isinstance(part.model.get_input_embeddings(), ReducedEmbedding) == fast


@pytest.mark.parametrize(("fast", "own", "kept"), [(True, True, 1), (True, False, 0), (False, True, 0)])
def test_the_allocator_is_changed_in_a_process_of_our_own_alone(fast, own, kept, monkeypatch):
    calls = []
    monkeypatch.setattr(speed, "keep_freed_memory", lambda: calls.append(1))
    with speed.training(encoder(), IDS.flatten(), CPU, fast, own_process=own):
        pass
    assert len(calls) == kept


def test_heads_of_one_stream_have_equal_masks_and_one_token_changes_the_last_layers_alone():
    """What the module's docstring says of a comparison of heads."""
    below, whole, one = (encoder(needs, **NO_DROPOUT | {"hidden_dropout_prob": 0.3}) for needs in
                         (Needs(frozenset({2, 3})), MEAN, CLS))  # fmt: skip
    states = []
    for part in (below, whole, one):
        speed.apply(part, CPU, "64-true", only=set(Trick) - {Trick.COMPILED})
        part.double().train()
        seen: list[torch.Tensor] = []
        part.layers[-1].register_forward_pre_hook(lambda _module, args, seen=seen: seen.append(args[0].detach()))
        torch.manual_seed(3)
        last = part(IDS, mask_of(LENGTHS["full"])).last_hidden_state[:, 0]
        states.append((seen[0], last))
    assert torch.equal(states[0][0], states[1][0])
    assert torch.equal(states[0][1], states[1][1])
    assert torch.equal(states[1][0], states[2][0])
    assert not torch.allclose(states[1][1], states[2][1])
