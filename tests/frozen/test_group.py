"""A bank gives each of its runs what the run would have had alone, by Lightning's Trainer."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from frozen_runs import SETTINGS, logits
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

from composed import compose
from head2head.errors import UserError
from head2head.frozen.eligible import group_of
from head2head.frozen.group import run_group
from head2head.model.checkpoint import NoPooler
from head2head.model.finetuner import Diverged
from head2head.model.heads.pooling import Mean, masked_sum, wide
from head2head.run.result import Result

EXACT = [*SETTINGS, "trainer.precision=64-true"]  # with dropout: the streams are the same

SENTENCE = [
    *[[f"head={head}"] for head in "pooler cls last_token mean weighted_mean max sqrt_mean mean_max".split()],
    *[[f"head={head}"] for head in "attention second_to_last first_last".split()],
    ["head=weighted_sum", "head.layers.n=2"],
    ["head=weighted_sum", "head.layers.n=all", "head/pool=max"],
    ["head=concat_last4", "head.layers.n=2"],
    ["head=mean", "head.pool.special_tokens=false"],
    ["head=last_token", "head/layers=first_last", "head.pool.special_tokens=false"],
    ["head=mean", "head/classifier=mlp"],
    ["head=mean", "head.dropout=0"],
    ["head=mean", "optimizer.head_lr=0.05", "optimizer.weight_decay=0"],
    ["head=mean", "optimizer.schedule=constant", "optimizer.warmup_ratio=0"],
    ["head=cls", "head/layers=embeddings"],
]
TOKEN = [
    ["head=ner"],
    ["head=ner", "head.subword=mean"],
    ["head=ner_weighted_sum", "head.layers.n=2", "head.subword=first_last"],
    ["head=ner", "head/layers=concat_last4", "head.layers.n=2", "head.subword=first_last"],
    ["head=ner", "head/layers=concat_last4", "head.layers.n=2"],
    ["head=ner_weighted_sum", "head.layers.n=2", "head/classifier=mlp"],
    ["head=ner", "head/classifier=bilstm", "head.classifier.hidden=8"],
    ["head=ner_crf"],
    ["head=ner_weighted_sum", "head.layers.n=2", "head/classifier=crf"],
]


def check_same(found, expected):
    """One run's Result, logits, curves and weights are the other's, to float64's rounding (stored as float32)."""
    assert isinstance(found, Result), found
    np.testing.assert_allclose(logits(found), logits(expected), rtol=0, atol=2e-7)
    for name in ("key", "task", "head", "seed", "score", "metrics", "curve", "baseline", "steps", "tokens",
                 "parameters", "data", "encoder", "truncated", "collapsed"):  # fmt: skip
        assert getattr(found, name) == getattr(expected, name), name
    curves = [pd.read_csv(f"{result.folder}/metrics.csv") for result in (found, expected)]
    pd.testing.assert_frame_equal(*curves, check_exact=False, rtol=1e-6)
    weights = [load_file(f"{result.folder}/model.safetensors") for result in (found, expected)]
    assert weights[0].keys() == weights[1].keys()
    for name, tensor in weights[0].items():
        torch.testing.assert_close(
            tensor, weights[1][name], rtol=1e-6, atol=1e-7, msg=lambda told, name=name: f"{name}: {told}"
        )


@pytest.mark.parametrize(
    "more", [[], ["trainer.max_steps=7", "trainer.gradient_clip_algorithm=value", "trainer.gradient_clip_val=0.01"]]
)
def test_a_bank_of_every_sentence_head_trains_each_as_lightning_does(bank, alone, more):
    heads = SENTENCE[::3] if more else SENTENCE
    runs = [[*own, *more, f"seed={i % 2}"] for i, own in enumerate(heads)]
    found = bank(*runs, settings=EXACT)
    for own, result in zip(runs, found, strict=True):
        check_same(result, alone(*own, settings=EXACT))


def test_a_bank_of_token_heads_trains_each_as_lightning_does(bank, alone):
    runs = [["task=entities", *own, "seed=3"] for own in TOKEN]
    found = bank(*runs, settings=EXACT)
    for own, result in zip(runs, found, strict=True):
        check_same(result, alone(*own, settings=EXACT))


def test_values_are_learned_in_a_bank_as_lightning_learns_them(bank, alone, tmp_path):
    rng = np.random.default_rng(0)
    words = "the cat sat on a mat and then it slept".split()
    for split, count in (("train", 50), ("validation", 30)):
        texts = [" ".join(rng.choice(words, size=rng.integers(1, 12))) for _ in range(count)]
        pd.DataFrame({"text": texts, "label": [len(t) / 10 for t in texts]}).to_csv(
            tmp_path / f"{split}.csv", index=False
        )
    files = [f"task.{split}={tmp_path}/{split}.csv" for split in ("train", "validation")]
    settings = [s for s in EXACT if not s.startswith("task.")] + ["task=table", "task.target=regression", *files]
    runs = [["head=mean"], ["head=max", "seed=1"]]
    for own, result in zip(runs, bank(*runs, settings=settings), strict=True):
        check_same(result, alone(*own, settings=settings))


def test_a_result_does_not_depend_on_who_shares_the_bank(bank):
    runs = [[*own, f"seed={i % 2}"] for i, own in enumerate(SENTENCE)]
    together = bank(*runs, output="together")
    for own, expected in zip(runs[::3], together[::3], strict=True):
        (by_itself,) = bank(own, output="by_itself")
        np.testing.assert_allclose(logits(by_itself), logits(expected), rtol=0, atol=1e-6)
        assert by_itself.together == 1
        assert expected.together == len(runs)


def test_a_member_that_diverges_fails_and_the_others_do_not_notice(bank):
    good, bad, again = bank(
        ["head=mean"], ["head=mean", "optimizer.head_lr=1e30", "trainer.gradient_clip_val=null"],
        ["head=mean", "seed=1"], settings=[*SETTINGS, "trainer.gradient_clip_val=null"],
    )  # fmt: skip
    (expected,) = bank(["head=mean"], settings=[*SETTINGS, "trainer.gradient_clip_val=null"], output="other")
    assert isinstance(bad, Diverged)
    assert "try a lower optimizer.lr" in str(bad)
    assert isinstance(again, Result)
    np.testing.assert_allclose(logits(good), logits(expected), rtol=0, atol=1e-6)


def test_a_checkpoint_without_pooler_fails_the_pooler_alone(bank, tmp_path):
    from transformers import BertConfig, BertModel

    from head2head.data.vocabulary import built_in_tokenizer

    config = BertConfig(
        vocab_size=512, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(tmp_path / "bare")
    built_in_tokenizer().save_pretrained(tmp_path / "bare")
    own = ["encoder=any", f"encoder.name={tmp_path}/bare"]
    pooler, mean = bank(["head=pooler"], ["head=mean"], settings=[*SETTINGS, *own])
    assert isinstance(pooler, NoPooler)
    assert isinstance(mean, Result)


def test_a_head_with_settings_that_cannot_be_fails_alone(bank):
    wrong, mean = bank(["head=max", "head.dropout=2"], ["head=mean"])
    assert isinstance(wrong, UserError)
    assert str(wrong).startswith("head: dropout")
    assert isinstance(mean, Result)


class Noisy(Mean):
    """A pool with dropout that is no module, and weights of its own."""

    def __init__(self, size, special_tokens=True):
        super().__init__(size, special_tokens)
        self.gain = nn.Parameter(torch.ones(size))

    def forward(self, tokens, mask, pooler_output=None):
        return F.dropout(masked_sum(wide(tokens) * self.gain, mask).to(tokens.dtype), 0.5, self.training)


class Normed(nn.Module):
    """A classifier that keeps running statistics."""

    kinds = frozenset({"sentence"})

    def __init__(self, size, num_labels, dropout):
        super().__init__()
        self.norm, self.output = nn.BatchNorm1d(size), nn.Linear(size, num_labels)

    def forward(self, features, mask=None):
        return self.output(self.norm(features))


class Dropping(nn.Module):
    """A classifier whose dropout is no module."""

    kinds = frozenset({"sentence"})

    def __init__(self, size, num_labels, dropout):
        super().__init__()
        self.output = nn.Linear(size, num_labels)

    def forward(self, features, mask=None):
        return self.output(F.dropout(features, 0.3, self.training))


@pytest.mark.parametrize("own", [
    ["head=mean", f"head.pool._target_={__name__}.Noisy"],
    ["head=mean", f"head.classifier._target_={__name__}.Normed"],
    ["head=mean", f"head.classifier._target_={__name__}.Dropping"],
])  # fmt: skip
def test_heads_with_state_or_dropout_of_their_own_give_what_lightning_gives(bank, alone, own):
    (found,) = bank(own, settings=EXACT)
    expected = alone(*own, settings=EXACT)
    np.testing.assert_allclose(logits(found), logits(expected), rtol=0, atol=2e-7)
    assert found.curve == expected.curve


@pytest.mark.parametrize(("setting", "together"), [
    ("seed=1", True), ("head=max", True), ("optimizer.lr=1", True), ("save_model=false", True),
    ("output_dir=elsewhere", True), ("batch_size=7", False), ("task.train_rows=9", False),
    ("trainer.max_epochs=9", False), ("trainer.precision=64-true", False), ("encoder=bert-tiny", False),
    ("threads=3", False),
])  # fmt: skip
def test_runs_share_a_bank_when_data_encoder_and_training_length_are_the_same(setting, together):
    base = group_of(compose(SETTINGS))
    assert base is not None
    assert (group_of(compose([*SETTINGS, setting])) == base) is together


@pytest.mark.parametrize("settings", [
    ["encoder.frozen=false"], ["encoder.frozen=1"], ["speed=exact"], ["trainer.accumulate_grad_batches=2"],
    ["trainer.precision=bf16-mixed"], ["trainer.devices=2"],
    ["+trainer.limit_test_batches=3"], ["trainer.max_time=1:0"],
    ["head=pooler", "encoder.reinit_pooler=true"],
    ["head=mean", "head.pool._target_=own.Tanh", "encoder.reinit_pooler=true"],  # it may read the pooler
])  # fmt: skip
def test_what_a_bank_does_not_understand_is_left_to_lightning(settings):
    assert group_of(compose([*SETTINGS, *settings])) is None


def test_a_head_that_does_not_read_the_pooler_does_not_mind_a_random_one():
    other = "head.pool._target_=head2head.model.heads.NoPoolerAtAll"  # as a name may be
    for settings in (["head=mean"], ["head=mean", other]):
        assert group_of(compose([*SETTINGS, *settings, "encoder.reinit_pooler=true"])) is not None


def test_every_run_of_a_group_has_its_seconds_and_its_configuration(bank):
    found = bank(*[["head=mean", f"seed={seed}"] for seed in range(2)])
    assert all(0 < result.seconds["train"] < result.seconds["total"] for result in found)
    assert all(result.tokens_per_second == result.tokens / result.seconds["train"] for result in found)
    assert all(Path(result.folder, "config.yaml").exists() for result in found)


class Squashed(Mean):
    """A mean that is not linear, of a class whose parent is."""

    def forward(self, tokens, mask, pooler_output=None):
        return torch.tanh(4 * super().forward(tokens, mask))


def test_a_subclass_is_not_taken_to_be_linear_because_its_parent_is(bank, alone):
    own = ["head=weighted_sum", "head.layers.n=2", f"head.pool._target_={__name__}.Squashed"]
    (found,) = bank(own, settings=EXACT)
    check_same(found, alone(*own, settings=EXACT))


def test_each_run_is_on_disk_before_the_next_one_is_trained(tmp_path):
    typed = [
        [*SETTINGS, f"cache_dir={tmp_path}/cache", f"output_dir={tmp_path}/runs", f"seed={seed}"] for seed in range(3)
    ]
    group = run_group([compose(overrides) for overrides in typed], typed)
    for finished in (1, 2):
        number, result = next(group)
        assert isinstance(result, Result)
        assert number == finished - 1
        assert len(list(tmp_path.glob("runs/*/*/*/result.json"))) == finished
    group.close()  # as a kill would end it
    assert len(list(tmp_path.glob("runs/*/*/*"))) == 2


def test_losses_of_the_epochs_are_lightnings_and_say_whether_a_head_has_converged(bank, alone, capsys):
    settings = [*EXACT, "trainer.max_epochs=9", "task.rows.train=60", "head.dropout=0"]
    (slow,) = bank(["head=mean", "optimizer.lr=1e-4"], settings=settings)
    np.testing.assert_allclose(
        slow.losses, alone("head=mean", "optimizer.lr=1e-4", settings=settings).losses, rtol=1e-6
    )
    assert slow.converged is False
    assert "· NOT CONVERGED: the training loss still falls ·" in capsys.readouterr().out
    (short,) = bank(["head=mean"], settings=EXACT, output="short")
    assert len(short.losses) == 2
    assert short.converged is None
