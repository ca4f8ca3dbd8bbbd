"""Heads on frozen encoders read standardised features, however they are trained, scored again or taken up again."""

from pathlib import Path

import numpy as np
import pytest
from frozen_runs import SETTINGS, logits
from safetensors.torch import load_file

from composed import compose
from head2head.cli.evaluate import evaluate
from head2head.run.run import run

HEADS = [["head=mean"], ["head=attention"], ["head=weighted_sum", "head.layers.n=2"], ["head=ner", "task=entities"]]
EXACT = [*SETTINGS, "trainer.precision=64-true"]


def standardized(*overrides: str) -> object:
    return compose([*SETTINGS, *overrides])["head"]["standardize"]


def test_a_head_is_standardised_where_the_encoder_is_frozen_whole_unless_it_is_said_otherwise():
    assert standardized() is True
    assert standardized("encoder.frozen=false") is standardized("encoder.frozen=1") is False
    assert standardized("head.standardize=false") is False
    assert standardized("encoder.frozen=false", "head.standardize=true") is True
    exact = [s for s in SETTINGS if not s.startswith("optimizer.")]
    assert compose([*exact, "optimizer=exact"])["head"]["standardize"] is True


def test_a_head_of_ones_own_that_does_not_name_it_is_standardised_as_the_others(tmp_path, monkeypatch):
    (tmp_path / "configs/head").mkdir(parents=True)
    (tmp_path / "configs/head/mine.yaml").write_text(
        "# mine\ndefaults: [layers: last, pool: cls, classifier: linear, _self_]\n"
        "_target_: head2head.model.heads.SentenceHead\ndropout: null\n"
    )
    monkeypatch.chdir(tmp_path)
    assert standardized("head=mine") is True


@pytest.mark.parametrize("head", HEADS, ids=lambda head: head[0])
def test_the_classifier_reads_features_of_mean_zero_and_deviation_one(bank, head):
    (result,) = bank([*head, "optimizer.lr=0.0"])
    weights = load_file(f"{result.folder}/model.safetensors")
    part = "head.standardize"
    assert weights[f"{part}.mean"].abs().max() > 0
    assert (weights[f"{part}.scale"] > 0).all()
    assert ("head.standardize_tokens.mean" in weights) is (head == ["head=attention"])


@pytest.mark.parametrize("head", HEADS, ids=lambda head: head[0])
def test_evaluate_computes_what_the_run_did(alone, head):
    settings = [*SETTINGS, "speed=exact"]
    result = alone(*head, settings=settings)
    scores = evaluate(Path(result.folder), split="validation")
    assert scores[result.metric] == result.score
    name = f"predictions-{result.task}-validation.parquet"
    np.testing.assert_array_equal(logits(result, name), logits(result))


def test_evaluate_computes_what_a_run_on_features_did_to_rounding(bank):
    (result,) = bank(["head=attention"])
    evaluate(Path(result.folder), split="validation")
    name = f"predictions-{result.task}-validation.parquet"
    np.testing.assert_allclose(logits(result, name), logits(result), rtol=0, atol=2e-5)


def test_a_fine_tuned_encoder_is_standardised_with_the_statistics_of_its_first_weights(tmp_path):
    common = ["head=mean", "encoder.frozen=false", "head.standardize=true", f"cache_dir={tmp_path}/cache"]
    first, last = (
        run(compose(typed), typed)
        for typed in (
            [*SETTINGS, *common, "optimizer.lr=1e-3", f"trainer.max_epochs={epochs}", f"output_dir={tmp_path}/{epochs}"]
            for epochs in (1, 2)
        )
    )
    frozen = [*SETTINGS, "head=mean", "speed=exact", f"cache_dir={tmp_path}/cache", f"output_dir={tmp_path}/f"]
    untrained = run(compose(frozen), frozen)
    found = [load_file(f"{result.folder}/model.safetensors") for result in (first, last, untrained)]
    for name in ("head.standardize.mean", "head.standardize.scale"):
        np.testing.assert_array_equal(found[0][name], found[1][name])
        np.testing.assert_allclose(found[0][name], found[2][name], rtol=1e-5, atol=1e-6)


def test_without_standardisation_a_run_is_what_it_was(bank, alone):
    own = ["head=mean", "head.standardize=false"]
    (result,) = bank(own, settings=EXACT)
    expected = alone(*own, settings=EXACT)
    np.testing.assert_allclose(logits(result), logits(expected), rtol=0, atol=2e-7)
    assert set(load_file(f"{result.folder}/model.safetensors")) == {
        "head.classifier.output.weight", "head.classifier.output.bias",
    }  # fmt: skip
