"""Linear layers whose products are oneDNN's, against torch's own in double precision."""

import copy

import pytest
import torch
from torch import nn
from transformers import BertConfig, BertModel

from head2head.speed.linear import FastLinear, at_hand, use_fast_linear

CONFIG = BertConfig(
    vocab_size=60, hidden_size=64, num_hidden_layers=2, num_attention_heads=2, intermediate_size=96,
    hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
)  # fmt: skip
IDS = torch.arange(5, 33).view(4, 7)


def layers(bias: bool = True) -> tuple[FastLinear, nn.Linear]:
    """A layer that multiplies by oneDNN, and the same one in double precision."""
    torch.manual_seed(0)
    plain = nn.Linear(48, 40, bias=bias)
    fast = nn.Sequential(copy.deepcopy(plain))
    use_fast_linear(fast)
    return fast[0], plain.double()


def test_this_torch_has_the_operator():
    assert at_hand()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    "input",
    [
        torch.randn(5, 48),
        torch.randn(3, 7, 48),
        torch.randn(3, 7, 48)[:, 0],  # the first token of each text
        torch.randn(48, 9).t(),
        torch.randn(3, 0, 48),
    ],
    ids=["rows", "texts", "first tokens", "transposed", "nothing"],
)
def test_outputs_and_gradients_are_those_of_double_precision(input, bias):
    fast, plain = layers(bias)
    assert type(fast) is FastLinear
    found = []
    for layer in (fast, plain):
        x = input.detach().to(layer.weight.dtype).requires_grad_()
        y = layer(x)
        (y * y).sum().backward()
        found.append([y.detach(), x.grad, *(p.grad for p in layer.parameters())])
    for one, exact in zip(*found, strict=True):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one.double(), exact, rtol=1e-4, atol=1e-4)


def test_a_layer_without_gradient_passes_its_inputs_on_and_gets_none():
    fast, plain = layers()
    fast.requires_grad_(False)
    x = torch.randn(4, 48, requires_grad=True)
    fast(x).sum().backward()
    torch.testing.assert_close(x.grad.double(), plain.weight.sum(0).expand(4, -1), rtol=1e-5, atol=1e-5)
    assert fast.weight.grad is None


def test_another_precision_and_evaluation_are_torchs_own():
    fast, plain = layers()
    x = torch.randn(4, 48)
    assert torch.equal(fast.eval()(x), nn.functional.linear(x, fast.weight, fast.bias))
    assert torch.equal(fast.train().double()(x.double()), plain(x.double()))
    with torch.autocast("cpu", torch.bfloat16):
        assert fast.float()(x).dtype == torch.bfloat16


def test_20_training_losses_of_an_encoder_are_those_of_torchs_layers():
    torch.manual_seed(0)
    plain = BertModel(CONFIG).train()
    fast = copy.deepcopy(plain)
    use_fast_linear(fast)
    losses = []
    for model in (plain, fast):
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        losses.append([])
        for _ in range(20):
            target = torch.randn(4, 7, 64, generator=torch.Generator().manual_seed(1))
            loss = (model(IDS).last_hidden_state - target).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses[-1].append(loss.item())
    assert losses[0][-1] < 0.9 * losses[0][0]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    assert list(fast.state_dict()) == list(plain.state_dict())


def test_layers_of_a_kind_of_their_own_are_left_as_they_are():
    class Own(nn.Linear):
        pass

    model = nn.Sequential(Own(4, 4))
    use_fast_linear(model)
    assert type(model[0]) is Own
