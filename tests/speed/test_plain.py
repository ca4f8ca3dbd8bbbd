"""A model with anything of somebody else's in it is computed by its own modules: logits are those without any trick."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize
from transformers import BertConfig, BertModel

from head2head.model.encoder import Encoder
from head2head.model.output import Needs
from head2head.speed.cpu.stack import compiled_from_the_bottom, use_compiled_layers
from head2head.speed.dropout import use_fast_dropout
from head2head.speed.first_token import use_first_token_layer
from small_bert import IDS, LENGTHS, NO_DROPOUT, SIZES, mask_of

MASK = mask_of(LENGTHS["padded"])
TRICKS: dict[str, Callable[[Encoder], object]] = {
    "compiled layers": use_compiled_layers,
    "one-token last layer": use_first_token_layer,
    "cheaper dropout": lambda encoder: use_fast_dropout(encoder.model),
}


class LowRank(nn.Linear):
    """A Linear with a low-rank term (Hu et al. 2021)."""

    def __init__(self, whole: nn.Linear):
        super().__init__(whole.in_features, whole.out_features)
        self.load_state_dict(whole.state_dict())
        self.down, self.up = (nn.Parameter(0.3 * torch.randn(shape)) for shape in ((2, 24), (self.out_features, 2)))

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return super().forward(input) + input @ self.down.t() @ self.up.t()


class Doubled(nn.Module):
    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return 2 * weight


class Scaled(nn.Dropout):
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return 1.5 * super().forward(input)


def low_rank(layer) -> None:
    layer.attention.self.query = LowRank(layer.attention.self.query)


def hooked(layer) -> None:
    layer.attention.self.value.register_forward_hook(lambda _module, _args, output: output + 0.3)


def hooked_before(layer) -> None:
    layer.attention.self.key.register_forward_pre_hook(lambda _module, args: (args[0] * 1.3,))


def hooked_as_a_whole(layer) -> None:
    layer.attention.self.register_forward_hook(lambda _module, _args, output: (output[0] + 0.3, *output[1:]))


def parametrized(layer) -> None:
    parametrize.register_parametrization(layer.attention.self.value, "weight", Doubled())


def own_dropout(layer) -> None:
    layer.output.dropout = Scaled(0.0)


def own_forward(layer) -> None:
    forward = layer.intermediate.forward
    layer.intermediate.forward = lambda states: forward(states) + 0.3


CHANGES = (low_rank, hooked, hooked_before, hooked_as_a_whole, parametrized, own_dropout, own_forward)


def encoders(change: Callable[[nn.Module], None], needs: Needs) -> tuple[Encoder, Encoder, Encoder]:
    """An encoder whose last layer is changed, twice, and one where it is not."""
    torch.manual_seed(0)
    model = BertModel(BertConfig(**SIZES | NO_DROPOUT))
    made = []
    for _ in range(2):
        torch.manual_seed(1)
        own = copy.deepcopy(model)
        change(own.encoder.layer[-1])
        made.append(Encoder(own, needs))
    return made[0], made[1], Encoder(model, needs)


def first_token_states(encoder: Encoder) -> torch.Tensor:
    """(B', H): the last hidden state at [CLS] of the texts that have tokens."""
    return encoder.train()(IDS, MASK).last_hidden_state[MASK.any(dim=1), 0]


@pytest.mark.parametrize("trick", TRICKS)
@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_layer_gives_what_it_gives_without_the_trick(trick, change):
    fast, exact, unchanged = encoders(change, Needs(frozenset({3}), first_only=True))
    TRICKS[trick](fast)
    found, expected, plain = (first_token_states(encoder) for encoder in (fast, exact, unchanged))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert (expected - plain).abs().max() > 0.01  # the change matters


@pytest.mark.usefixtures("c_compiler")
@pytest.mark.parametrize("change", CHANGES)
def test_layers_below_a_changed_one_are_still_compiled(change):
    fast, *_ = encoders(change, Needs(frozenset({3})))
    use_compiled_layers(fast)
    assert fast.runner is not None
    assert compiled_from_the_bottom(fast.layers) == fast.layers[:2]


@pytest.mark.usefixtures("c_compiler")
def test_a_hook_that_comes_later_runs():
    seen = []
    encoder, *_ = encoders(lambda _layer: None, Needs(frozenset({3})))
    use_compiled_layers(encoder)
    handle = encoder.layers[1].output.register_forward_hook(lambda *_: seen.append(1))
    first_token_states(encoder)
    assert seen == [1]
    handle.remove()
    first_token_states(encoder)
    assert seen == [1]


def test_the_librarys_own_hooks_that_collect_hidden_states_keep_no_layer_from_being_compiled():
    """transformers puts them on the layers when several hidden states are asked for, and leaves them there."""
    encoder, *_ = encoders(lambda _layer: None, Needs(frozenset({1, 3})))
    encoder.eval()(IDS, MASK)
    assert encoder.layers[0]._forward_hooks
    assert compiled_from_the_bottom(encoder.layers) == encoder.layers
