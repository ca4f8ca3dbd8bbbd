"""Training above cached hidden states gives the numbers of training that runs the frozen layers in every step."""

import copy
import errno
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from frozen_runs import logits
from safetensors.torch import load_file
from torch import Tensor
from transformers import (
    BertConfig,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    ElectraConfig,
    ElectraModel,
    RobertaConfig,
    RobertaModel,
)
from transformers.models.bert.modeling_bert import BertEmbeddings

from composed import compose
from head2head.cli.evaluate import evaluate
from head2head.data.vocabulary import built_in_tokenizer
from head2head.errors import UserError
from head2head.frozen.cached_layers import CachedLayers
from head2head.frozen.dispatch import run_one
from head2head.model.build import checkpoint_of
from head2head.model.encoder import Encoder
from head2head.model.finetuner import FineTuner
from head2head.model.output import Needs
from head2head.run.key import identify
from head2head.run.run import build_parts, build_trainer, run
from head2head.speed.dropout import use_fast_dropout
from head2head.speed.first_token import FirstTokenLayer, use_first_token_layer

SIZES = {
    "vocab_size": 512, "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24,
    "initializer_range": 0.3, "max_position_embeddings": 140, "hidden_dropout_prob": 0.2,
    "attention_probs_dropout_prob": 0.2,
}  # fmt: skip
DISTILBERT = DistilBertConfig(
    vocab_size=512, dim=16, n_layers=3, n_heads=2, hidden_dim=24, max_position_embeddings=140, initializer_range=0.3,
    dropout=0.2, attention_dropout=0.2,
)  # fmt: skip
MODELS = {
    "bert": lambda: BertModel(BertConfig(**SIZES)),
    "roberta": lambda: RobertaModel(RobertaConfig(**SIZES, pad_token_id=0)),
    "distilbert": lambda: DistilBertModel(DISTILBERT),
    "electra": lambda: ElectraModel(ElectraConfig(**SIZES, embedding_size=8)),
}
FAMILIES = ("roberta", "distilbert", "electra")  # those of which a run has no checkpoint with random weights
TINY = ["encoder=random-tiny", "encoder.config.num_hidden_layers=3"]
# Dropout on, float64: 20 steps that differ in the order of summation at most.
EXACT = [
    "trainer.precision=64-true",
    "trainer.accelerator=cpu",
    "trainer.max_epochs=4",
    "trainer.enable_progress_bar=false",
    "task.rows.train=100",
    "task.rows.validation=60",
    "batch_size=24",
    "optimizer.lr=1e-2",
    "threads=1",
]


def batch(side: str) -> dict[str, Tensor]:
    """Texts of 7, 4, no and 1 word pieces."""
    mask = (torch.arange(7) < torch.tensor([7, 4, 0, 1]).unsqueeze(1)).long()
    if side == "left":
        mask = mask.flip(1)
    ids = torch.randint(5, 60, mask.shape, generator=torch.Generator().manual_seed(1)) * mask
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": ids % 2, "special_tokens_mask": 1 - mask}


def read(encoder: Encoder, inputs: dict[str, Tensor], known=None) -> tuple[list[Tensor], dict[str, Tensor | None]]:
    """What is read of an encoder under dropout at real tokens, and the gradients of it."""
    torch.manual_seed(5)
    output = encoder.train()(**inputs, known=known)
    mask = output.attention_mask.bool()
    found = [output.hidden_state(number)[mask] for number in sorted(encoder.needs.layers)]
    if encoder.needs.pooler:
        found.append(output.pooler_output[inputs["attention_mask"].any(dim=1)])
    total = sum((states.pow(3).sum() for states in found), torch.zeros(()))
    if total.requires_grad:
        total.backward()
    return [states.detach() for states in found], {name: p.grad for name, p in encoder.named_parameters()}


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("frozen", [1, 2, 3])
@pytest.mark.parametrize(("family", "needs"), [
    *[(family, Needs(frozenset({3}))) for family in MODELS],
    *[(family, Needs(frozenset({0, 1, 3}))) for family in MODELS],
    ("bert", Needs(frozenset({2}))),
    ("bert", Needs(frozenset({0}))),
    ("bert", Needs(frozenset({3}), pooler=True)),
    ("roberta", Needs(frozenset({3}), pooler=True)),
    ("bert", Needs(frozenset({3}), pooler=True, first_only=True)),
])  # fmt: skip
def test_states_and_gradients_above_known_states_are_those_of_the_whole_encoder(family, needs, frozen, side):
    torch.manual_seed(0)
    model, inputs = MODELS[family]().double(), batch(side)
    part = Encoder(copy.deepcopy(model), needs, frozen)
    use_first_token_layer(part)  # does nothing where more than the first token is read
    use_fast_dropout(part.model)
    other = copy.deepcopy(part)
    given = Encoder(model, Needs(part.settled), True)(**inputs)
    empty = inputs["attention_mask"].unsqueeze(-1) == 0
    known = {number: given.hidden_state(number).masked_fill(empty, 7.0) for number in part.settled}
    found, gradients = read(part, inputs, known)
    expected, of_whole = read(other, inputs)
    if needs.first_only and frozen == 3:  # the whole encoder gives out one token of its last layer
        assert isinstance(other.layers[-1], FirstTokenLayer)
        found[0] = given.hidden_state(3)[range(4), inputs["attention_mask"].argmax(dim=1)]
        found[0] = found[0][inputs["attention_mask"].any(dim=1)]
    assert any(gradient is not None for gradient in gradients.values()) is (needs.pooler or max(needs.layers) > frozen)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)
    for name, gradient in of_whole.items():
        if gradient is None:
            assert gradients[name] is None, name
        else:
            torch.testing.assert_close(gradients[name], gradient, rtol=1e-9, atol=1e-9, msg=name)


@pytest.mark.parametrize(("frozen", "needs", "settled"), [
    (1, Needs(frozenset({3})), {1}), (2, Needs(frozenset({0, 1, 3})), {0, 1, 2}), (3, Needs(frozenset({2})), {2}),
    (3, Needs(frozenset({3}), pooler=True), {3}), (2, Needs(frozenset({0})), {0}), (True, Needs(frozenset({3})), set()),
    (False, Needs(frozenset({3})), set()), (0, Needs(frozenset({3})), set()),
    (2, Needs(frozenset({3}), attentions=True), set()),
])  # fmt: skip
def test_settled_are_the_state_that_is_frozen_up_to_and_those_below_it_that_are_read(frozen, needs, settled):
    assert Encoder(MODELS["bert"](), needs, frozen).settled == settled


@pytest.fixture
def numbers(monkeypatch, tmp_path):
    """A run's training losses, float64 logits of all batches it was scored on, and weights when it ends."""

    def go(*overrides, output="runs", encoder=TINY, way=run_one):
        losses, scored, models = [], [], {}
        step, forward = FineTuner.training_step, FineTuner.forward

        def training_step(self, batch, batch_idx):
            loss = step(self, batch, batch_idx)
            losses.append(loss.item())
            models[0] = self
            return loss

        def observed(self, batch):
            found = forward(self, batch)
            if not self.training:
                scored.append(found[batch.prediction_ids >= 0].clone())
            return found

        typed = [*encoder, *EXACT, f"cache_dir={tmp_path}/cache", f"output_dir={tmp_path}/{output}", *overrides]
        with monkeypatch.context() as patch:
            patch.setattr(FineTuner, "training_step", training_step)
            patch.setattr(FineTuner, "forward", observed)
            result = way(compose(typed), typed)
        return result, losses, scored, models[0]

    return go


def check_same(numbers, *overrides, encoder=TINY):
    """A run above cached states is the run that goes through all layers in every step."""
    found, losses, scored, model = numbers(*overrides, encoder=encoder)
    expected, other_losses, other_scored, other_model = numbers(*overrides, output="whole", encoder=encoder, way=run)
    assert len(losses) >= 20
    assert losses == pytest.approx(other_losses, rel=1e-9, abs=1e-12)
    for a, b in zip(scored, other_scored, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
    for (name, a), (other, b) in zip(model.state_dict().items(), other_model.state_dict().items(), strict=True):
        assert name == other
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9, msg=name)
    saved, other_saved = (load_file(f"{result.folder}/model.safetensors") for result in (found, expected))
    assert {name: tensor.shape for name, tensor in saved.items()} == {n: t.shape for n, t in other_saved.items()}
    for name, tensor in saved.items():
        torch.testing.assert_close(tensor, other_saved[name], rtol=1e-9, atol=1e-7, msg=name)
    np.testing.assert_allclose(logits(found), logits(expected), rtol=0, atol=2e-7)
    for name in ("key", "metrics", "curve", "steps", "tokens", "parameters", "encoder"):
        assert getattr(found, name) == getattr(expected, name), name
    return found


@pytest.mark.parametrize("own", [
    ["head=mean", "encoder.frozen=2"],
    ["head=pooler", "encoder.frozen=1"],
    ["head=pooler", "encoder.frozen=3"],
    ["head=cls", "encoder.frozen=3"],
    ["head=attention", "encoder.frozen=3"],
    ["head=second_to_last", "encoder.frozen=3"],
    ["head=weighted_sum", "head.layers.n=3", "encoder.frozen=2", "optimizer.layer_decay=0.5"],
    ["head=cls", "head/layers=embeddings", "encoder.frozen=1"],
    ["head=max", "encoder.frozen=2", "trainer.accumulate_grad_batches=8"],  # the last batch has 4 rows
    ["head=max", "encoder.frozen=2", "workers=1"],
    ["head=ner", "task=entities", "encoder.frozen=2"],
    ["head=ner_weighted_sum", "head.layers.n=2", "task=entities", "encoder.frozen=2", "head.subword=mean"],
], ids=" ".join)  # fmt: skip
def test_20_steps_above_cached_states_are_those_of_the_whole_encoder(numbers, own):
    check_same(numbers, *own)


@pytest.mark.parametrize("family", FAMILIES)
def test_20_steps_of_other_families_are_those_of_the_whole_encoder(numbers, family, tmp_path):
    torch.manual_seed(0)
    MODELS[family]().save_pretrained(tmp_path / family)
    built_in_tokenizer().save_pretrained(tmp_path / family)
    own = ["encoder=any", f"encoder.name={tmp_path}/{family}"]
    check_same(numbers, "encoder.frozen=2", "head=weighted_sum", "head.layers.n=3", encoder=own)


@pytest.fixture
def embedded(monkeypatch):
    """Number of batches that went through an encoder's embeddings."""
    calls = []
    forward = BertEmbeddings.forward
    monkeypatch.setattr(BertEmbeddings, "forward", lambda self, **inputs: calls.append(1) or forward(self, **inputs))
    return calls


def files(tmp_path) -> list[Path]:
    return sorted(tmp_path.glob("cache/features/*/*.npy"))


def test_the_lower_layers_run_once_for_all_epochs_heads_and_seeds(numbers, embedded, tmp_path):
    numbers("head=mean", "encoder.frozen=2")
    once = len(embedded)
    assert once == 2  # a batch of each split
    numbers("head=max", "encoder.frozen=2", "seed=1", "trainer.max_epochs=2")
    numbers("head=weighted_sum", "head.layers.n=2", "encoder.frozen=2")  # reads the state that is frozen up to
    assert len(embedded) == once
    assert len(files(tmp_path)) == 2
    numbers("head=weighted_sum", "head.layers.n=3", "encoder.frozen=2")  # and the one below, which was not kept
    assert len(embedded) == 2 * once
    assert len(files(tmp_path)) == 4


def test_a_state_is_kept_once_for_encoders_that_are_frozen_whole_and_up_to_it(numbers, embedded, tmp_path):
    numbers("head=mean", "encoder.frozen=2")
    kept, once = files(tmp_path), len(embedded)
    settings = [*TINY, *EXACT, f"cache_dir={tmp_path}/cache", f"output_dir={tmp_path}/bank"]
    run_one(compose([*settings, "encoder.frozen=true", "head=attention", "head.layers.index=2"]))
    assert len(embedded) == once
    assert files(tmp_path) == kept


@pytest.mark.parametrize("own", [
    ["encoder.frozen=2", "speed=exact"], ["encoder.frozen=2", "trainer.precision=bf16-mixed"],
    ["encoder.frozen=2", "trainer.precision=bf16-true"], ["encoder.frozen=false"],
    ["encoder.frozen=true", "speed=exact"],
])  # fmt: skip
def test_nothing_is_kept_where_it_is_switched_off_or_would_not_be_exact(numbers, tmp_path, own):
    result, *_ = numbers("head=mean", "trainer.max_epochs=1", *own)
    assert result.score is not None
    assert not files(tmp_path)


def test_a_finished_run_is_evaluated_with_the_whole_encoder(numbers, embedded):
    result, *_ = numbers("head=mean", "encoder.frozen=2")
    before = len(embedded)
    assert evaluate(Path(result.folder), split="validation") == pytest.approx(result.metrics["last"]["validation"])
    assert len(embedded) > before
    again = logits(result, "predictions-agreement-validation.parquet")
    np.testing.assert_allclose(again, logits(result), rtol=0, atol=1e-6)


def test_batches_and_encoder_are_whole_again_when_training_breaks_off(tmp_path, monkeypatch):
    config = compose([*TINY, *EXACT, f"cache_dir={tmp_path}/cache", "head=mean", "encoder.frozen=2"])
    trainer = build_trainer(config["trainer"], [CachedLayers(checkpoint_of(config))])
    parts = build_parts(config, identify(config))
    splits, names = dict(parts.data.splits), list(parts.model.state_dict())

    def broken(_, batch, __):
        assert sorted(batch.states) == [2]
        assert list(parts.model.state_dict()) == names  # a checkpoint fits both
        raise RuntimeError("broke off")

    monkeypatch.setattr(FineTuner, "training_step", broken)
    with pytest.raises(RuntimeError, match="broke off"):
        trainer.fit(parts.model, datamodule=parts.data)
    assert parts.data.splits == splits
    assert next(iter(parts.data.evaluation_dataloader("validation"))).states is None
    assert len(parts.model.encoder.layers) == 3
    assert list(parts.model.state_dict()) == names


def test_a_full_disk_is_one_line_and_leaves_no_run(numbers, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(UserError, match=r"^cache_dir: .* No space left on device; .* speed=exact"):
        numbers("head=mean", "encoder.frozen=2")
    assert not files(tmp_path)
    assert not list(tmp_path.glob("runs/[!.]*"))
