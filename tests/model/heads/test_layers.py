"""Layer rules on hidden states whose every value is their own number, so that sums can be done by hand."""

import functools

import pytest
import torch
from hydra.utils import instantiate

from composed import compose
from head2head.errors import UserError
from head2head.model.heads import ConcatLast, FirstLast, Layer, WeightedSum
from head2head.model.output import EncoderOutput, EncoderSpec
from head2head.run.configuration import options

SIX = EncoderSpec(hidden_size=2, num_layers=6)


def numbered(spec: EncoderSpec = SIX) -> EncoderOutput:
    """Hidden state i is i everywhere: (1, 3, H)."""
    states = {i: torch.full((1, 3, spec.hidden_size), float(i)) for i in range(spec.num_layers + 1)}
    return EncoderOutput(spec.num_layers, torch.ones(1, 3, dtype=torch.long), hidden_states=states)


@pytest.mark.parametrize(("index", "number"), [(0, 0), (1, 1), (6, 6), (-1, 6), (-2, 5), (-7, 0)])
def test_layer_gives_the_hidden_state_of_its_number_counted_from_either_end(index, number):
    layer = Layer(SIX, index)
    assert layer.reads == [number]
    assert layer.size == 2
    assert torch.equal(layer(numbered()), torch.full((1, 3, 2), float(number)))


@pytest.mark.parametrize("index", [7, -8])
def test_layer_that_is_not_there_is_a_user_error(index):
    with pytest.raises(UserError, match=f"layer {index}"):
        Layer(SIX, index)


@functools.cache
def built(*overrides: str):
    return instantiate(compose(overrides)["head"]["layers"])(encoder=SIX)


@pytest.mark.parametrize(
    ("name", "reads"),
    [
        ("last", [6]),
        ("second_to_last", [5]),
        ("embeddings", [0]),
        ("weighted_sum", [3, 4, 5, 6]),
        ("weighted_sum_all", [1, 2, 3, 4, 5, 6]),
        ("concat_last4", [3, 4, 5, 6]),
        ("first_last", [1, 6]),
    ],
)
def test_configured_layers_read_what_their_name_says(name, reads):
    assert built(f"head/layers={name}").reads == reads


@pytest.mark.parametrize(("index", "name"), [(-1, "last"), (6, "last"), (-2, "second_to_last"), (0, "embeddings")])
def test_layer_by_index_is_the_named_one(index, name):
    by_index, named = built("head/layers=layer", f"head.layers.index={index}"), built(f"head/layers={name}")
    assert type(by_index) is type(named)
    assert by_index.reads == named.reads


def test_every_configured_layer_rule_is_named_in_the_tests_above():
    assert set(options("head/layers")) == {
        "last", "second_to_last", "embeddings", "layer", "weighted_sum", "weighted_sum_all", "concat_last4",
        "first_last",
    }  # fmt: skip


def test_weighted_sum_starts_as_the_plain_mean_of_the_last_four_layers():
    mix = WeightedSum(SIX)
    assert mix.reads == [3, 4, 5, 6]
    torch.testing.assert_close(mix(numbered()), torch.full((1, 3, 2), 4.5))  # (3 + 4 + 5 + 6) / 4


def test_weighted_sum_reads_exactly_its_layers():
    states = {i: torch.full((1, 1, 2), float(i)) for i in (3, 4, 5, 6)}
    output = EncoderOutput(6, torch.ones(1, 1, dtype=torch.long), hidden_states=states)
    torch.testing.assert_close(WeightedSum(SIX)(output), torch.full((1, 1, 2), 4.5))
    with pytest.raises(LookupError, match="hidden state 2 was not asked for"):
        WeightedSum(SIX, n=5)(output)


def test_weighted_sum_of_all_layers_leaves_the_embeddings_out():
    mix = WeightedSum(SIX, n="all")
    assert mix.reads == [1, 2, 3, 4, 5, 6]
    torch.testing.assert_close(mix(numbered()), torch.full((1, 3, 2), 3.5))  # with the embeddings it would be 3


def test_weighted_sum_is_softmax_of_the_weights_times_the_scale():
    mix = WeightedSum(SIX)
    with torch.no_grad():
        mix.weights.copy_(torch.tensor([1.0, 2.0, 3.0, 4.0]).log())
        mix.scale.fill_(2)
    torch.testing.assert_close(mix.mixture(), torch.tensor([0.2, 0.4, 0.6, 0.8]))
    torch.testing.assert_close(mix(numbered()), torch.full((1, 3, 2), 10.0))  # 2 (1*3 + 2*4 + 3*5 + 4*6) / 10


def test_raw_weighted_sum_has_unconstrained_weights_and_no_scale():
    mix = WeightedSum(SIX, normalize=False)
    assert [name for name, _ in mix.named_parameters()] == ["weights"]
    torch.testing.assert_close(mix(numbered()), torch.full((1, 3, 2), 4.5))
    with torch.no_grad():
        mix.weights.copy_(torch.tensor([1.0, 0.0, 0.0, -1.0]))
    torch.testing.assert_close(mix(numbered()), torch.full((1, 3, 2), -3.0))  # 3 - 6


@pytest.mark.parametrize("rule", [WeightedSum, ConcatLast])
@pytest.mark.parametrize("n", [0, -1, 7, 2.5])
def test_a_number_of_layers_that_the_encoder_does_not_have_is_a_user_error(rule, n):
    with pytest.raises(UserError, match=rf"head\.layers\.n={n}: the encoder has 6 layers"):
        rule(SIX, n=n)


def test_the_last_four_layers_of_an_encoder_with_two_are_a_user_error():
    with pytest.raises(UserError, match="the encoder has 2 layers"):
        WeightedSum(EncoderSpec(hidden_size=2, num_layers=2))


def test_concat_puts_the_last_layer_last():
    concat = ConcatLast(SIX)
    assert concat.size == 8
    assert concat(numbered())[0, 0].tolist() == [3, 3, 4, 4, 5, 5, 6, 6]


def test_concat_of_all_layers_leaves_the_embeddings_out():
    assert ConcatLast(SIX, n="all")(numbered())[0, 0].tolist() == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weighted_sum_keeps_the_dtype_of_the_hidden_states(dtype):
    states = {i: torch.full((1, 3, 2), float(i), dtype=dtype) for i in range(7)}
    mixed = WeightedSum(SIX)(EncoderOutput(6, torch.ones(1, 3), hidden_states=states))
    assert mixed.dtype == dtype
    assert mixed[0, 0].tolist() == [4.5, 4.5]


def test_first_and_last_layer_are_averaged_and_the_embeddings_are_not_the_first():
    assert torch.equal(FirstLast(SIX)(numbered()), torch.full((1, 3, 2), 3.5))


def test_of_one_layer_the_first_is_the_last():
    one = EncoderSpec(hidden_size=2, num_layers=1)
    assert FirstLast(one).reads == [1]
    assert torch.equal(FirstLast(one)(numbered(one)), torch.ones(1, 3, 2))
