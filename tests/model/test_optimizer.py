"""Parameter groups and schedules against rates worked out by hand."""

import functools

import pytest
import torch
from transformers import BertConfig, BertModel, ElectraConfig, ElectraModel, MPNetConfig, MPNetModel

from head2head.errors import UserError
from head2head.model.encoder import Encoder
from head2head.model.heads import Attention, BiLstm, Cls, Layer, Linear, Mean, Mlp, SentenceHead, TokenHead
from head2head.model.optimizer import OptimizerSettings, build_optimizer, parameter_groups
from head2head.model.output import EncoderSpec, Needs
from head2head.model.step import can_fuse, clip_in_step

SIZES = {"vocab_size": 20, "hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 12}
SPEC = EncoderSpec(hidden_size=8, num_layers=2)


def encoder(frozen: bool | int = False, layers: int = 2, reads: int | None = None, pooler: bool = False) -> Encoder:
    model = BertModel(BertConfig(**SIZES, num_hidden_layers=layers))
    return Encoder(model, Needs(frozenset({layers if reads is None else reads}), pooler), frozen)


def head(pool=Attention, classifier=Mlp) -> SentenceHead:
    return SentenceHead(Layer, pool, classifier, SPEC, num_labels=2)


def by_name(groups: list[dict], part: torch.nn.Module) -> dict[str, tuple[float, float]]:
    """Each trained parameter's name -> its learning rate and weight decay."""
    names = {id(p): name for name, p in part.named_parameters()}
    return {
        names[id(p)]: (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]
        if id(p) in names
    }  # fmt: skip


@pytest.mark.parametrize("frozen", [False, 1, True])
@pytest.mark.parametrize("layer_decay", [1.0, 0.5])
@pytest.mark.parametrize("pooler", [False, True])
def test_every_trainable_parameter_is_in_exactly_one_group(frozen, layer_decay, pooler):
    parts = (encoder(frozen, pooler=pooler), head())
    groups = parameter_groups(*parts, OptimizerSettings(layer_decay=layer_decay, head_lr=1e-3))
    grouped = [id(p) for group in groups for p in group["params"]]
    trained = [id(p) for part in parts for p in part.parameters() if p.requires_grad]
    assert sorted(grouped) == sorted(trained)
    assert len(set(grouped)) == len(grouped)


def test_biases_and_layer_norms_do_not_decay_and_everything_else_does():
    part, top = encoder(pooler=True), head()
    found = by_name(parameter_groups(part, top, OptimizerSettings(weight_decay=0.01)), torch.nn.ModuleList([part, top]))
    for name, (_, decay) in found.items():
        assert decay == (0.0 if name.endswith("bias") or "LayerNorm" in name else 0.01), name
    assert {decay for _, decay in found.values()} == {0.0, 0.01}
    assert found["0.model.embeddings.word_embeddings.weight"][1] == 0.01
    assert found["0.pooler.dense.weight"][1] == 0.01
    assert found["1.pool.query.weight"][1] == 0.01


def test_the_biases_of_an_lstm_do_not_decay_either():
    top = TokenHead(Layer, functools.partial(BiLstm, hidden=4), SPEC, num_labels=2)
    found = by_name(parameter_groups(encoder(), top, OptimizerSettings(weight_decay=0.01)), top)
    assert found["classifier.lstm.bias_hh_l1_reverse"][1] == 0
    assert found["classifier.lstm.weight_hh_l1_reverse"][1] == 0.01


def test_layer_decay_lowers_the_rate_layer_by_layer_from_the_top():
    settings = OptimizerSettings(lr=8e-5, layer_decay=0.5, head_lr=1e-3)
    part, top = encoder(pooler=True), head()
    groups = parameter_groups(part, top, settings)
    expected = {"model.encoder.layer.1.": 8e-5, "model.encoder.layer.0.": 4e-5, "model.embeddings.": 2e-5,
                "pooler.": 8e-5}  # fmt: skip
    for name, (lr, _) in by_name(groups, part).items():
        assert [lr] == [rate for prefix, rate in expected.items() if name.startswith(prefix)], name
    assert {lr for lr, _ in by_name(groups, top).values()} == {1e-3}


def test_the_top_layer_is_the_highest_one_that_is_read():
    part = encoder(layers=4, reads=2)
    found = by_name(parameter_groups(part, head(), OptimizerSettings(lr=8e-5, layer_decay=0.5)), part)
    assert found["model.encoder.layer.1.output.dense.weight"][0] == 8e-5
    assert found["model.embeddings.word_embeddings.weight"][0] == 2e-5


def test_embeddings_alone_have_the_full_rate():
    part = encoder(reads=0)
    found = by_name(parameter_groups(part, head(), OptimizerSettings(lr=8e-5, layer_decay=0.5)), part)
    assert {lr for lr, _ in found.values()} == {8e-5}


def test_electras_embedding_projection_has_the_rate_of_its_embeddings():
    part = Encoder(ElectraModel(ElectraConfig(**SIZES, embedding_size=4, num_hidden_layers=2)), Needs(frozenset({2})))
    found = by_name(parameter_groups(part, head(), OptimizerSettings(lr=8e-5, layer_decay=0.5)), part)
    assert found["model.embeddings_project.weight"][0] == found["model.embeddings.word_embeddings.weight"][0] == 2e-5


def test_the_head_takes_the_encoders_rate_unless_it_has_one_of_its_own():
    part, top = encoder(), head()
    for head_lr, expected in ((None, 3e-5), (0.0, 0.0), (1e-2, 1e-2)):
        groups = parameter_groups(part, top, OptimizerSettings(lr=3e-5, head_lr=head_lr))
        assert {lr for lr, _ in by_name(groups, top).values()} == {expected}
        assert {lr for lr, _ in by_name(groups, part).values()} == {3e-5}


def test_a_head_has_the_rate_of_the_run_unless_one_of_its_own_is_given():
    top = head()
    for frozen, head_lr, expected in ((True, None, 3e-5), (True, 2e-2, 2e-2), (1, None, 3e-5), (2, None, 3e-5)):
        groups = parameter_groups(encoder(frozen), top, OptimizerSettings(lr=3e-5, head_lr=head_lr))
        assert {lr for lr, _ in by_name(groups, top).values()} == {expected}


def rates(steps: int, **settings) -> list[float]:
    """The head's learning rate at each step."""
    optimizer, schedule = build_optimizer(
        encoder(True), head(), OptimizerSettings(head_lr=1.0, **settings), steps, fused=False
    )
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


@pytest.mark.parametrize(
    ("schedule", "warmup_ratio", "expected"),
    [
        ("linear", 0.0, [1, 0.75, 0.5, 0.25]),
        ("linear", 0.5, [0, 0.5, 1, 0.5]),
        ("linear", 0.3, [0, 0.5, 1, 0.5]),  # ceil(0.3 * 4) = 2 steps of warm-up
        ("constant", 0.0, [1, 1, 1, 1]),
        ("constant", 0.5, [0, 0.5, 1, 1]),
        ("cosine", 0.0, [1, 0.8535533905932737, 0.5, 0.1464466094067262]),  # (1 + cos(pi k / 4)) / 2
        ("cosine", 0.5, [0, 0.5, 1, 0.5]),
    ],
)
def test_schedule_gives_the_rates_worked_out_by_hand(schedule, warmup_ratio, expected):
    assert rates(4, schedule=schedule, warmup_ratio=warmup_ratio) == pytest.approx(expected)


def test_the_schedule_scales_every_group_by_the_same_factor():
    part, top = encoder(), head()
    settings = OptimizerSettings(lr=8e-5, head_lr=1e-3, layer_decay=0.5, warmup_ratio=0.0)
    optimizer, schedule = build_optimizer(part, top, settings, 4, fused=False)
    optimizer.step()
    schedule.step()
    for group in optimizer.param_groups:
        assert group["lr"] == pytest.approx(0.75 * group["initial_lr"])
    assert {group["initial_lr"] for group in optimizer.param_groups} == {8e-5, 4e-5, 2e-5, 1e-3}


def test_settings_reach_adamw():
    settings = OptimizerSettings(lr=2e-5, betas=[0.8, 0.95], eps=1e-6, weight_decay=0.1)
    optimizer, _ = build_optimizer(encoder(), head(), settings, 10, fused=True)
    assert type(optimizer) is torch.optim.AdamW
    assert {(*group["betas"], group["eps"], group["fused"]) for group in optimizer.param_groups} == {
        (0.8, 0.95, 1e-6, True)
    }
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.0, 0.1}


def test_a_frozen_encoder_is_not_in_the_optimizer():
    part, top = encoder(True), head(Mean, Linear)
    optimizer, _ = build_optimizer(part, top, OptimizerSettings(), 10, fused=False)
    assert sum(len(group["params"]) for group in optimizer.param_groups) == 2


def test_nothing_to_train_is_a_user_error():
    top = head(Cls, Linear)
    top.requires_grad_(False)
    with pytest.raises(UserError, match="nothing to train"):
        build_optimizer(encoder(True), top, OptimizerSettings(), 10, fused=False)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"schedule": "linaer"}, r"optimizer\.schedule=linaer: did you mean linear\?"),
        ({"schedule": "step"}, r"optimizer\.schedule=step: choose from: constant, cosine, linear"),
        ({"lr": "fast"}, r"optimizer\.lr=fast: not a number"),
        ({"lr": None}, r"optimizer\.lr=None: not a number"),
        ({"lr": float("nan")}, r"optimizer\.lr=nan: not a number"),
        ({"warmup_ratio": 1.5}, r"optimizer\.warmup_ratio=1\.5"),
        ({"warmup_ratio": -0.1}, r"optimizer\.warmup_ratio=-0\.1"),
        ({"lr": -1e-5}, r"optimizer\.lr=-1e-05: cannot be negative"),
        ({"head_lr": -1.0}, r"optimizer\.head_lr=-1\.0"),
        ({"weight_decay": -0.1}, r"optimizer\.weight_decay=-0\.1"),
        ({"layer_decay": -0.5}, r"optimizer\.layer_decay=-0\.5"),
        ({"eps": -1e-8}, r"optimizer\.eps=-1e-08"),
        ({"betas": 0.9}, r"optimizer\.betas=0\.9: two numbers"),
        ({"betas": [0.9]}, r"optimizer\.betas="),
        ({"betas": [0.9, 1.0]}, r"optimizer\.betas="),
    ],
)
def test_settings_that_cannot_be_are_user_errors(settings, message):
    with pytest.raises(UserError, match=message):
        OptimizerSettings(**settings)


def test_the_fused_kernel_is_left_out_where_lightning_would_clip_and_refuses_to():
    precisions = ("32-true", "64-true", "bf16-mixed", "16-mixed")
    assert {precision: can_fuse(precision, torch.device("cpu")) for precision in precisions} == {
        "32-true": True, "64-true": True, "bf16-mixed": True, "16-mixed": False,
    }  # fmt: skip
    assert {precision: can_fuse(precision, torch.device("cpu"), clips_values=True) for precision in precisions} == {
        "32-true": True, "64-true": True, "bf16-mixed": False, "16-mixed": False,
    }  # fmt: skip


@pytest.mark.parametrize("size", [0.01, 100.0, float("nan")])
def test_a_step_that_clips_moves_parameters_as_clip_grad_norm_does(size):
    """Gradients far below the limit, far above it, and none."""
    torch.manual_seed(0)
    start = [torch.randn(30, 7), torch.randn(5)]
    gradients = [[torch.randn(p.shape) * size for p in start] for _ in range(3)]
    found = []
    for in_step in (False, True):
        parameters = [torch.nn.Parameter(p.clone()) for p in start]
        groups = [{"params": parameters[:1]}, {"params": parameters[1:], "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, lr=0.1, eps=1.0, fused=True)  # eps lets the gradient's size be seen
        for of in gradients:
            for p, gradient in zip(parameters, of, strict=True):
                p.grad = gradient.clone()
            if in_step:
                clip_in_step(optimizer, 0.5)
            else:
                torch.nn.utils.clip_grad_norm_(parameters, 0.5)
            optimizer.step()
        found.append(parameters)
    torch.testing.assert_close(*found, rtol=1e-6, atol=1e-7, equal_nan=True)
    assert not torch.equal(found[0][0], start[0])


def test_layer_decay_is_refused_where_layers_cannot_be_told_apart():
    model = MPNetModel(MPNetConfig(**SIZES, num_hidden_layers=2))
    part = Encoder(model, Needs(frozenset({2})))
    with pytest.raises(UserError, match=r"^optimizer.layer_decay=0.9: mpnet encoders have no plain stack of layers"):
        parameter_groups(part, head(), OptimizerSettings(layer_decay=0.9))
    assert parameter_groups(part, head(), OptimizerSettings())


def test_apples_fused_kernel_is_not_asked_to_clip():
    mps = torch.device("mps")
    assert not can_fuse("bf16-mixed", mps)  # Lightning would have to clip, and refuses to do so for a fused kernel
    assert can_fuse("32-true", mps)
