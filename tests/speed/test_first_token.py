"""The last layer computed for the first token alone, against all of it."""

import copy
import functools

import pytest
import torch
from transformers import BertConfig, BertModel, ElectraConfig, ElectraModel

from head2head.data.batching import Batch
from head2head.model.encoder import Encoder
from head2head.model.finetuner import FineTuner
from head2head.model.heads import Cls, ConcatLast, Layer, Linear, Mean, Pooler, SentenceHead, WeightedSum
from head2head.model.optimizer import OptimizerSettings, build_optimizer
from head2head.model.output import EncoderSpec, Needs
from head2head.speed.first_token import FirstTokenLayer, use_first_token_layer

SPEC = EncoderSpec(hidden_size=16, num_layers=3, dropout=0.0)
SIZES = {
    "vocab_size": 60, "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24,
    "max_position_embeddings": 40, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
    "initializer_range": 0.3,
}  # fmt: skip
HEADS = {
    "cls": functools.partial(SentenceHead, Layer, Cls),
    "pooler": functools.partial(SentenceHead, Layer, Pooler),
    "second_to_last-cls": functools.partial(SentenceHead, functools.partial(Layer, index=-2), Cls),
}
LENGTHS = {"padded": (7, 4, 0, 1), "full": (7, 7, 7, 7)}


def batches(count: int, lengths: tuple[int, ...] = LENGTHS["padded"], side: str = "right") -> list[Batch]:
    generator = torch.Generator().manual_seed(1)
    mask = (torch.arange(7) < torch.tensor(lengths).unsqueeze(1)).long()
    if side == "left":
        mask = mask.flip(1)
    made = []
    for _ in range(count):
        ids = torch.randint(5, 60, mask.shape, generator=generator)
        labels = torch.randint(0, 2, (len(mask),), generator=generator)
        made.append(Batch(ids, mask, ids % 2, 1 - mask, torch.arange(len(mask)), labels))
    return made


def twins(head: str) -> tuple[FineTuner, FineTuner]:
    """The same model with the last layer for the first token alone, and with all of it."""
    torch.manual_seed(0)
    built = HEADS[head](Linear, SPEC, 2)
    bert = BertModel(BertConfig(**SIZES))
    made = [
        FineTuner(Encoder(copy.deepcopy(bert), built.needs), copy.deepcopy(built), ["a", "b"], ["accuracy"], {}, 0)
        for _ in range(2)
    ]
    assert use_first_token_layer(made[0].encoder)
    return made[0], made[1]


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("lengths", LENGTHS)
def test_logits_and_gradients_are_those_of_the_whole_layer(head, side, lengths):
    short, whole = (model.double() for model in twins(head))
    assert isinstance(short.encoder.layers[-1], FirstTokenLayer)
    assert not isinstance(whole.encoder.layers[-1], FirstTokenLayer)
    (batch,) = batches(1, LENGTHS[lengths], side)
    found, expected = short(batch), whole(batch)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=0)
    for logits in (found, expected):
        logits.pow(3).sum().backward()
    largest = max(p.grad.abs().max().item() for p in whole.parameters())  # a key's bias has none but for rounding
    for (name, a), (other, b) in zip(whole.named_parameters(), short.named_parameters(), strict=True):
        assert name == other
        assert a.grad.abs().max() > 0, name
        torch.testing.assert_close(b.grad, a.grad, rtol=1e-9, atol=1e-12 * largest, msg=name)
    assert list(short.state_dict()) == list(whole.state_dict())


@pytest.mark.parametrize("head", HEADS)
def test_the_first_20_losses_are_those_of_the_whole_layer(head):
    found, expected = (losses(model) for model in twins(head))
    assert found == pytest.approx(expected, rel=0, abs=1e-4)
    assert max(expected) - min(expected) > 0.1


def losses(model: FineTuner) -> list[float]:
    settings = OptimizerSettings(lr=3e-3, warmup_ratio=0)
    optimizer, schedule = build_optimizer(model.encoder, model.head, settings, 20, fused=True)
    values = []
    for batch in batches(20):
        loss = model.loss(model(batch), batch.labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        values.append(loss.item())
    return values


def test_the_last_layer_is_computed_for_one_token():
    short, _ = twins("cls")
    seen = []
    for layer in short.encoder.layers:
        layer.intermediate.register_forward_hook(lambda _module, args, _output: seen.append(tuple(args[0].shape)))
    short(*batches(1))
    assert seen == [(4, 7, 16), (4, 7, 16), (4, 1, 16)]


@pytest.mark.parametrize("frozen", [True, 3, 2])
def test_a_frozen_last_layer_is_frozen_for_one_token_too(frozen):
    part = Encoder(BertModel(BertConfig(**SIZES)), Needs(frozenset({3}), first_only=True), frozen)
    use_first_token_layer(part)
    assert part.layers[-1].training == (frozen == 2)
    assert any(p.requires_grad for p in part.layers[-1].parameters()) == (frozen == 2)
    assert part.layers[-1].attention.self.dropout.training == (frozen == 2)


def test_heads_that_read_more_than_one_token_of_one_layer_get_whole_layers():
    def first_only(layers, pool, **settings) -> bool:
        return SentenceHead(layers, functools.partial(pool, **settings), Linear, SPEC, 2).needs.first_only

    assert first_only(Layer, Cls)
    assert first_only(Layer, Pooler)
    assert not first_only(Layer, Mean)
    assert not first_only(functools.partial(WeightedSum, n=2), Cls)
    assert not first_only(functools.partial(ConcatLast, n=2), Cls)
    assert not first_only(Layer, Cls, special_tokens=False)  # reads the first token behind [CLS]


@pytest.mark.parametrize(
    "model",
    [
        lambda: BertModel(BertConfig(**SIZES, attn_implementation="eager")),
        lambda: ElectraModel(ElectraConfig(**SIZES, embedding_size=8)),
    ],
)
def test_other_encoders_and_attentions_compute_all_tokens(model):
    part = Encoder(model(), Needs(frozenset({3}), first_only=True))
    assert not use_first_token_layer(part)
    (batch,) = batches(1)
    assert part(batch.input_ids, batch.attention_mask).last_hidden_state.shape == (4, 7, 16)
