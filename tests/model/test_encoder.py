"""The encoder against transformers' own outputs; what is frozen, dropped, refused."""

import copy
from types import SimpleNamespace

import pytest
import torch
from transformers import (
    AlbertConfig,
    AlbertModel,
    BartConfig,
    BertConfig,
    BertModel,
    DistilBertConfig,
    ElectraConfig,
    ElectraModel,
    T5Config,
    XLNetConfig,
)

from head2head.errors import UserError
from head2head.model.encoder import Encoder, NoPooler, first_token, spec_of
from head2head.model.output import EncoderOutput, EncoderSpec, Needs

LAYERS = 4
# A wide initialisation makes attention, and with it masks and positions, matter.
SIZES = {
    "vocab_size": 60, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 24,
    "max_position_embeddings": 40, "initializer_range": 0.3,
}  # fmt: skip
LENGTHS = (7, 4, 2)


def bert(num_layers: int = LAYERS, attention: str = "sdpa", **changes) -> BertModel:
    torch.manual_seed(0)
    config = BertConfig(**(SIZES | changes), num_hidden_layers=num_layers, attn_implementation=attention)
    return BertModel(config).eval()


def padded(side: str = "right") -> dict[str, torch.Tensor]:
    """Three rows of 7, 4 and 2 word pieces; the padding holds word pieces too, which must not be read."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(5, 60, (3, 7), generator=generator)
    types = torch.randint(0, 2, (3, 7), generator=generator)
    mask = (torch.arange(7) < torch.tensor(LENGTHS).unsqueeze(1)).long()
    if side == "left":
        ids, types, mask = (
            torch.stack([row.roll(7 - n) for row, n in zip(t, LENGTHS, strict=True)]) for t in (ids, types, mask)
        )
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}


def encoder(model: BertModel, layers: set[int], frozen: bool | int = False, **needs) -> Encoder:
    return Encoder(copy.deepcopy(model), Needs(frozenset(layers), **needs), frozen)


def own_states(model: BertModel) -> tuple[torch.Tensor, ...]:
    with torch.no_grad():
        return model(**padded(), output_hidden_states=True).hidden_states


def read(part: Encoder, side: str = "right") -> EncoderOutput:
    with torch.no_grad():
        return part.eval()(**padded(side))


@pytest.mark.parametrize("layer", [-1, LAYERS + 1])
def test_hidden_state_outside_the_encoder_is_an_index_error(layer):
    output = read(encoder(bert(), {0, 1, 2, 3, 4}))
    with pytest.raises(IndexError, match=f"hidden state {layer} .* 0 to 4"):
        output.hidden_state(layer)


def test_outputs_that_were_not_asked_for_are_lookup_errors():
    output = read(encoder(bert(), {4}))
    for name in ("embeddings", "pooler_output", "attentions", "text_mask"):
        with pytest.raises(LookupError):
            getattr(output, name)
    with pytest.raises(LookupError, match=r"hidden state 2 was not asked for; computed: \[4\]"):
        output.hidden_state(2)


def test_text_mask_leaves_special_tokens_and_padding_out():
    mask, special = torch.tensor([[1, 1, 1, 1, 0]]), torch.tensor([[1, 0, 0, 1, 1]])
    assert EncoderOutput(1, mask, special).text_mask.tolist() == [[0, 1, 1, 0, 0]]


def test_first_token_is_the_first_unmasked_position_and_0_in_an_empty_row():
    assert first_token(torch.tensor([[1, 1, 0], [0, 0, 1], [0, 1, 1], [0, 0, 0]])).tolist() == [0, 2, 1, 0]


def test_twelve_layers_give_thirteen_hidden_states_and_twelve_attentions_that_sum_to_one():
    output = read(encoder(bert(12, "eager"), set(range(13)), pooler=True, attentions=True))
    assert sorted(output.hidden_states) == list(range(13))
    assert {tuple(output.hidden_state(i).shape) for i in range(13)} == {(3, 7, 16)}
    assert [tuple(a.shape) for a in output.attentions] == [(3, 2, 7, 7)] * 12
    for attention in output.attentions:
        torch.testing.assert_close(attention.sum(dim=-1), torch.ones(3, 2, 7))
        assert attention[1, :, :, 4:].abs().max() == 0  # nothing attends to padding
    assert output.pooler_output.shape == (3, 16)
    with pytest.raises(IndexError):
        output.hidden_state(13)


def test_bert_base_sizes_are_those_of_the_paper():
    config = BertConfig(vocab_size=20, intermediate_size=64, max_position_embeddings=16, attn_implementation="eager")
    with torch.no_grad():
        output = Encoder(BertModel(config), Needs(frozenset(range(13)), pooler=True, attentions=True)).eval()(
            torch.arange(16).unsqueeze(0), torch.ones(1, 16, dtype=torch.long)
        )
    assert output.last_hidden_state.shape == output.embeddings.shape == (1, 16, 768)
    assert output.last_hidden_state is output.hidden_state(12)
    assert output.pooler_output.shape == (1, 768)
    assert (len(output.hidden_states), len(output.attentions)) == (13, 12)
    assert output.attentions[11].shape == (1, 12, 16, 16)


def test_every_hidden_state_and_attention_is_the_one_transformers_gives():
    model = bert(attention="eager")
    output = read(encoder(model, {0, 1, 2, 3, 4}, attentions=True))
    with torch.no_grad():
        theirs = model(**padded(), output_hidden_states=True, output_attentions=True)
    real = padded()["attention_mask"].bool()
    for i in range(LAYERS + 1):
        assert torch.equal(output.hidden_state(i)[real], theirs.hidden_states[i][real])
    for ours, their in zip(output.attentions, theirs.attentions, strict=True):
        assert torch.equal(ours[0], their[0])
    assert torch.equal(output.embeddings, output.hidden_state(0))
    assert torch.equal(output.last_hidden_state[real], theirs.last_hidden_state[real])


@pytest.mark.parametrize("layers", [{0}, {1}, {2}, {3}, {4}, {0, 2}, {2, 3}, {1, 4}])
def test_layers_above_the_highest_one_read_are_dropped_and_change_nothing(layers):
    model, real = bert(), padded()["attention_mask"].bool()
    part = encoder(model, layers)
    output = read(part)
    assert len(part.layers) == max(layers)
    assert set(output.hidden_states) == layers
    for layer in layers:
        assert torch.equal(output.hidden_state(layer)[real], own_states(model)[layer][real])


def test_hidden_states_that_are_not_read_are_not_kept():
    part, kept = encoder(bert(), {1, 3}), []
    part.model.register_forward_hook(lambda _model, _inputs, output: kept.append(output.hidden_states))
    read(part)
    assert [state is not None for state in kept[0]] == [False, True, False, True]


def test_a_lower_layer_read_together_with_attentions_is_that_layer():
    model = bert(attention="eager")
    output = read(encoder(model, {2}, attentions=True))
    assert len(output.attentions) == LAYERS
    assert torch.equal(output.hidden_state(2)[0], own_states(model)[2][0])


def test_a_lower_layer_of_a_family_whose_stack_cannot_be_cut_is_that_layer():
    torch.manual_seed(0)
    config = AlbertConfig(**SIZES, embedding_size=8, num_hidden_layers=3)
    model = AlbertModel(config).eval()
    with torch.no_grad():
        theirs = model(**padded(), output_hidden_states=True).hidden_states
    for layer in range(4):
        assert torch.equal(read(encoder(model, {layer})).hidden_state(layer), theirs[layer])


def test_attentions_without_eager_attention_raise_instead_of_coming_back_empty():
    with pytest.raises(LookupError, match="eager"):
        read(encoder(bert(attention="sdpa"), {4}, attentions=True))


def test_pooler_output_is_berts_own_under_right_padding():
    model = bert()
    with torch.no_grad():
        theirs = model(**padded()).pooler_output
    torch.testing.assert_close(read(encoder(model, {4}, pooler=True)).pooler_output, theirs, rtol=0, atol=1e-6)


def test_pooler_output_and_hidden_states_do_not_depend_on_the_padding_side():
    model = bert()
    part = encoder(model, {0, 1, 2, 3, 4}, pooler=True)
    right, left = read(part), read(part, "left")
    torch.testing.assert_close(left.pooler_output, right.pooler_output, rtol=0, atol=1e-5)
    for layer in range(LAYERS + 1):
        torch.testing.assert_close(
            left.hidden_state(layer)[left.attention_mask.bool()],
            right.hidden_state(layer)[right.attention_mask.bool()],
            rtol=0, atol=1e-5,
        )  # fmt: skip
    with torch.no_grad():  # what transformers does by itself, so that agreement above is no accident
        assert (model(**padded("left")).pooler_output - right.pooler_output).abs().max() > 0.1


def test_a_row_without_tokens_is_finite_and_leaves_the_others_alone():
    part = encoder(bert(), {0, 4}, pooler=True).eval()
    inputs = padded()
    whole = read(part)
    inputs["attention_mask"][1] = 0
    with torch.no_grad():
        output = part(**inputs)
    for tensor in (output.embeddings, output.last_hidden_state, output.pooler_output):
        assert torch.isfinite(tensor).all()
    torch.testing.assert_close(output.last_hidden_state[0], whole.last_hidden_state[0], rtol=0, atol=1e-6)
    assert output.attention_mask[1].sum() == 0


def test_an_encoder_is_built_in_training_mode_even_from_a_model_in_eval_mode():
    part = encoder(bert(), {4})
    assert all(module.training for module in part.modules())


def test_only_a_head_that_reads_the_pooler_keeps_it():
    names = dict(encoder(bert(), {4}).named_parameters())
    assert not any("pooler" in name for name in names)
    assert encoder(bert(), {4}, pooler=True).pooler.dense.weight.shape == (16, 16)


def test_a_pooler_keeps_all_layers_whatever_else_is_read():
    assert len(encoder(bert(), {1}, pooler=True).layers) == LAYERS


def test_a_frozen_encoder_has_no_gradient_and_no_dropout_even_in_training_mode():
    part = encoder(bert(hidden_dropout_prob=0.5), {4}, frozen=True, pooler=True)
    for trained in (part, part.train()):
        assert not any(module.training for module in trained.modules())
        first, second = trained(**padded()), trained(**padded())
        assert torch.equal(first.pooler_output, second.pooler_output)
        assert not first.last_hidden_state.requires_grad
    assert not any(p.requires_grad for p in part.parameters())


def test_an_encoder_frozen_up_to_a_layer_trains_only_what_lies_above():
    part = encoder(bert(hidden_dropout_prob=0.5), {2, 4}, frozen=2, pooler=True).train()
    first, second = part(**padded()), part(**padded())
    assert torch.equal(first.hidden_state(2), second.hidden_state(2))
    assert not torch.equal(first.hidden_state(4), second.hidden_state(4))
    (first.hidden_state(4).pow(3).sum() + first.pooler_output.sum()).backward()
    for name, parameter in part.named_parameters():
        above = name.startswith(("model.encoder.layer.2.", "model.encoder.layer.3.", "pooler."))
        assert parameter.requires_grad == above, name
        assert (parameter.grad is not None) == above, name


@pytest.mark.parametrize("frozen", [False, 0])
def test_frozen_false_or_0_freezes_nothing(frozen):
    part = encoder(bert(), {4}, frozen=frozen)
    assert all(p.requires_grad for p in part.parameters())


@pytest.mark.parametrize("frozen", [-1, LAYERS + 1, 1.5, "half"])
def test_freezing_up_to_a_layer_that_is_not_there_is_a_user_error(frozen):
    with pytest.raises(UserError, match=f"encoder.frozen={frozen}: .* 1 to 4"):
        encoder(bert(), {4}, frozen=frozen)


def test_albert_can_be_frozen_whole_but_not_up_to_a_layer():
    model = AlbertModel(AlbertConfig(**SIZES, embedding_size=8, num_hidden_layers=3))
    assert not any(p.requires_grad for p in encoder(model, {3}, frozen=True).parameters())
    with pytest.raises(UserError, match="albert encoders can only be frozen whole"):
        encoder(model, {3}, frozen=1)


def test_a_pooler_that_is_not_berts_is_a_user_error():
    model = AlbertModel(AlbertConfig(**SIZES, embedding_size=8, num_hidden_layers=3))
    with pytest.raises(NoPooler, match="albert"):
        encoder(model, {3}, pooler=True)


def test_freezing_electra_up_to_a_layer_freezes_its_embedding_projection_too():
    model = ElectraModel(ElectraConfig(**SIZES, embedding_size=8, num_hidden_layers=2))
    part = encoder(model, {2}, frozen=1)
    trained = {name for name, p in part.named_parameters() if p.requires_grad}
    assert trained
    assert all(name.startswith("model.encoder.layer.1.") for name in trained)


def test_spec_takes_classifier_dropout_before_hidden_dropout():
    assert spec_of(BertConfig(hidden_dropout_prob=0.3)).dropout == 0.3
    assert spec_of(BertConfig(hidden_dropout_prob=0.3, classifier_dropout=0.0)).dropout == 0.0
    assert spec_of(DistilBertConfig(dim=12, n_layers=3, n_heads=2, dropout=0.2)) == EncoderSpec(12, 3, 0.2, 0.02)


def test_layer_numbers_count_from_the_embeddings_or_from_the_last():
    spec = EncoderSpec(hidden_size=8, num_layers=12)
    assert [spec.layer(i) for i in (0, 1, 12, -1, -2, -13)] == [0, 1, 12, 12, 11, 0]
    for index in (13, -14):
        with pytest.raises(UserError, match=rf"layer {index}: .* \(embeddings\) to 12, or -1 to -13"):
            spec.layer(index)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (T5Config(), "t5 models cannot be used: the configuration has no max_position_embeddings;"),
        (XLNetConfig(), "xlnet models cannot be used: the configuration has no max_position_embeddings;"),
        (BartConfig(), "bart models are encoder-decoders;"),
        (
            SimpleNamespace(model_type="made-up", max_position_embeddings=9),
            "made-up models cannot be used: the configuration has no hidden_size and no num_hidden_layers;",
        ),
    ],
)
def test_a_family_that_is_no_encoder_with_positions_is_a_user_error(config, message):
    with pytest.raises(UserError, match=f"^encoder: {message}"):
        spec_of(config)
