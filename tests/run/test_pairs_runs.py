"""Runs on pairs whose texts are read apart: zero-shot similarity as sentence-transformers has it, and training."""

import csv
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules.transformer import Transformer
from sentence_transformers.sentence_transformer.modules.pooling import Pooling
from transformers import AutoModel, AutoTokenizer, BertConfig, BertModel

from composed import compose
from head2head.cli.evaluate import evaluate
from head2head.data.vocabulary import built_in_tokenizer
from head2head.errors import UserError
from head2head.frozen.dispatch import run_one
from head2head.frozen.group import run_group
from head2head.run.key import identify
from head2head.run.run import run

WORDS = "the keys near cabinets door house is are open red old dog sleeps runs".split()
HEADS = ("pooler", "cls", "mean", "max")
LEARNS_NOTHING = "the encoder is frozen, and the head has nothing to learn"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with pairs that are the more alike the higher their score, their classes, and a tiny random BERT."""
    folder = tmp_path_factory.mktemp("pairs")
    rng = np.random.default_rng(0)
    for split, count in (("train", 96), ("dev", 60)):
        with (folder / f"{split}.csv").open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["text", "text_pair", "score", "class"])
            for _ in range(count):
                first = list(rng.choice(WORDS, size=rng.integers(1, 12)))
                changed = int(rng.integers(0, len(first) + 1))
                second = [*rng.choice(WORDS, size=changed), *first[changed:]]
                score = round(4 * (1 - changed / len(first)) + 1, 2)
                table.writerow([" ".join(first), " ".join(second), score, "no" if 2 * changed > len(first) else "yes"])
    torch.manual_seed(0)
    sizes = {"vocab_size": 512, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    BertModel(BertConfig(**sizes, intermediate_size=64, initializer_range=0.3)).save_pretrained(folder / "bert")
    built_in_tokenizer().save_pretrained(folder / "bert")
    return folder


@pytest.fixture
def overrides(place, tmp_path):
    def of(*own, target="regression"):
        label = {"regression": "score", "classification": "class"}[target]
        return [
            "task=table", f"task.train={place}/train.csv", f"task.validation={place}/dev.csv", f"task.label={label}",
            "task.text_pair=text_pair", "task.pairs=apart", f"task.target={target}", "encoder=any",
            f"encoder.name={place}/bert", "trainer.accelerator=cpu", "trainer.enable_progress_bar=false", "threads=1",
            f"output_dir={tmp_path}/runs", f"cache_dir={tmp_path}/cache", "batch_size=16", *own,
        ]  # fmt: skip

    return of


@pytest.fixture
def go(overrides):
    """A run, by the way that a command takes."""

    def trained(*own, **target):
        typed = overrides(*own, **target)
        return run_one(compose(typed), typed)

    return trained


def predictions(result) -> pd.DataFrame:
    return pd.read_parquet(f"{result.folder}/predictions-validation.parquet")


def reference(folder: Path, head: str, texts: list[str], max_length: int = 128) -> np.ndarray:
    """(N, D): what sentence-transformers makes of texts; pooler_output, which it has no pool for, by transformers."""
    if head != "pooler":
        transformer = Transformer(str(folder), max_seq_length=max_length)
        width = transformer.get_embedding_dimension()
        model = SentenceTransformer(modules=[transformer, Pooling(width, head)], device="cpu")
        return model.encode(texts, show_progress_bar=False)
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        batches = [
            tokenizer(texts[i : i + 50], padding=True, truncation=True, max_length=max_length, return_tensors="pt")
            for i in range(0, len(texts), 50)
        ]
        return torch.cat([model(**batch).pooler_output for batch in batches]).numpy()


def cosines(folder: Path, head: str, first: list[str], second: list[str]) -> np.ndarray:
    u, v = (reference(folder, head, texts) for texts in (first, second))
    return (u * v).sum(1) / np.linalg.norm(u, axis=1) / np.linalg.norm(v, axis=1)


@pytest.mark.parametrize("head", HEADS)
def test_zero_shot_similarity_is_that_of_sentence_transformers(go, place, head):
    table = pd.read_csv(place / "dev.csv")
    expected = cosines(place / "bert", head, list(table["text"]), list(table["text_pair"]))
    assert np.ptp(expected) > 0.1
    frozen, whole, exact = (
        go(f"head={head}", *own)
        for own in (["encoder.frozen=true"], ["trainer.max_epochs=0"], ["encoder.frozen=true", "speed=exact"])
    )
    for result in (frozen, whole, exact):
        low, high = pd.read_csv(place / "train.csv")["score"].agg(["min", "max"])
        found = (predictions(result)["prediction"] - low) / (high - low)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
        assert result.score == pytest.approx(spearmanr(expected, table["score"]).statistic, abs=1e-3)
        assert (result.steps, result.tokens, result.tokens_per_second) == (0, 0, 0)
        assert [point["epoch"] for point in result.curve] == [0]
    assert frozen.notes == exact.notes == [f"not trained: {LEARNS_NOTHING}"]
    assert whole.notes == ["not trained: trainer.max_epochs=0"]


def test_zero_shot_similarity_on_the_real_task_is_what_was_measured(real_data, minilm_folder, tmp_path):
    known = {"pooler": 79.3, "cls": None, "mean": 86.7, "max": 82.6, "concat_last4": 80.7, "second_to_last": 76.2}
    settings = ["task=stsb", "task.pairs=apart", "task.train_rows=200", f"data_dir={real_data}", "encoder.frozen=true",
                "trainer.accelerator=cpu", "trainer.enable_progress_bar=false", "save_model=false",
                f"output_dir={tmp_path}/runs", f"cache_dir={tmp_path}/cache"]  # fmt: skip
    typed = [[*settings, f"head={head}"] for head in known]
    found = dict(run_group([compose(one) for one in typed], typed))
    lines = [line.split("\t") for line in (real_data / "glue/STS-B/dev.tsv").read_text().splitlines()[1:]]
    first, second = [line[7] for line in lines], [line[8] for line in lines]
    for number, (head, spearman) in enumerate(known.items()):
        if spearman is not None:
            assert found[number].score == pytest.approx(spearman / 100, abs=6e-4), head
        if head in HEADS:
            expected = 5 * cosines(minilm_folder, head, first[:60], second[:60])
            np.testing.assert_allclose(predictions(found[number])["prediction"][:60], expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("target", ["regression", "classification"])
def test_training_lowers_the_loss(go, target):
    result = go(
        "trainer.max_epochs=8", "optimizer.lr=1e-3", "encoder.dropout=0", "trainer.log_every_n_steps=1", target=target
    )
    losses = pd.read_csv(f"{result.folder}/metrics.csv")["train/loss"].dropna()
    assert len(losses) == 48
    assert losses[-6:].mean() < 0.7 * losses[:6].mean()
    assert result.notes == []


@pytest.mark.parametrize(("target", "head"), [
    ("regression", ["head=weighted_sum", "head.layers.n=2"]), ("regression", ["head=attention"]),
    ("classification", ["head=mean"]), ("classification", ["head=pooler", "head/classifier=mlp"]),
    ("classification", ["head=weighted_sum", "head.layers.n=2"]), ("classification", ["head=attention"]),
    ("classification", ["head=mean", "head.pool.special_tokens=false"]),
])  # fmt: skip
def test_features_of_texts_train_a_head_as_lightning_does(overrides, target, head):
    typed = overrides(*head, "encoder.frozen=true", "trainer.precision=64-true", "optimizer.lr=1e-2", target=target)
    ((_, found),), expected = run_group([compose(typed)], [typed]), run(compose(typed), typed)
    assert "features" in found.stream
    assert "features" not in expected.stream
    logits = [np.array(predictions(result)["logits"].tolist()) for result in (found, expected)]
    np.testing.assert_allclose(*logits, rtol=0, atol=2e-6)
    assert found.curve == expected.curve
    assert found.tokens == expected.tokens > 0
    assert found.truncated == expected.truncated


@pytest.mark.parametrize("head", ["head=mean", "head=cls"])
@pytest.mark.parametrize("target", ["regression", "classification"])
def test_what_makes_training_faster_changes_no_result_without_dropout(go, head, target):
    settings = [head, "encoder.dropout=0", "trainer.precision=64-true", "trainer.max_epochs=2", "optimizer.lr=1e-3"]
    if target == "classification":
        settings.append("head.dropout=0")
    fast, exact = (go(*settings, f"speed={speed}", target=target) for speed in ("fast", "exact"))
    assert fast.stream != exact.stream
    logits = [np.array(predictions(result)["logits"].tolist()) for result in (fast, exact)]
    np.testing.assert_allclose(*logits, rtol=0, atol=1e-6)


def test_layers_that_are_frozen_are_computed_once_for_each_text(overrides):
    typed = overrides("encoder.frozen=1", "encoder.dropout=0", "trainer.precision=64-true", "optimizer.lr=1e-3")
    cached, whole = run_one(compose(typed), typed), run(compose(typed), typed)
    logits = [np.array(predictions(result)["logits"].tolist()) for result in (cached, whole)]
    np.testing.assert_allclose(*logits, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("target", "head"), [("classification", "mean"), ("regression", "attention")])
def test_folds_share_the_features_of_all_texts_and_give_what_each_has_alone(overrides, target, head):
    settings = [f"head={head}", "encoder.frozen=true", "trainer.precision=64-true", "optimizer.lr=1e-2"]
    for fold in (0, 3):
        typed = overrides(*settings, f"fold={fold}", target=target)
        found, expected = run_one(compose(typed), typed), run(compose(typed), typed)
        logits = [
            np.array(pd.read_parquet(f"{result.folder}/predictions-fold.parquet")["logits"].tolist())
            for result in (found, expected)
        ]
        assert len(logits[0]) > 10
        np.testing.assert_allclose(*logits, rtol=0, atol=2e-6)


def test_a_classifier_is_solved_on_u_v_and_their_distance(overrides):
    typed = overrides("encoder.frozen=true", "optimizer=exact", target="classification")
    result = run_one(compose(typed), typed)
    assert result.head == "mean-exact"
    assert result.parameters["head"] == 2 * 3 * 32 + 2
    assert result.tokens > 0


def test_rates_that_nothing_is_trained_with_give_one_score(overrides):
    runs = [overrides("encoder.frozen=true", f"optimizer.lr={rate}") for rate in (1e-3, 1e-2)]
    runs.append(overrides("encoder.frozen=true", "head=attention"))
    one, other, trained = dict(run_group([compose(typed) for typed in runs], runs)).values()
    assert one.score == other.score
    assert one.key != other.key
    assert one.notes == other.notes != trained.notes
    assert trained.steps > 0


@pytest.mark.parametrize(("own", "target"), [
    ([], "regression"), (["trainer.max_epochs=0"], "regression"), (["encoder.frozen=true"], "regression"),
    (["encoder.frozen=true", "head=attention"], "regression"), ([], "classification"),
])  # fmt: skip
def test_a_finished_run_is_scored_again_and_on_other_files(go, place, own, target):
    result = go(*own, target=target)
    again = evaluate(Path(result.folder), split="validation")
    assert again == pytest.approx(result.metrics["last"]["validation"], abs=1e-6)
    metrics = evaluate(Path(result.folder), file=place / "dev.csv")
    assert metrics == pytest.approx(result.metrics["last"]["validation"], abs=1e-6)
    table = pd.read_parquet(f"{result.folder}/predictions-{result.task}-dev.parquet")
    logits = [np.array(one["logits"].tolist()) for one in (table, predictions(result))]
    np.testing.assert_allclose(*logits, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("own", "target", "message"), [
    (["trainer.max_epochs=0"], "classification", "trainer.max_epochs=0: only the similarity of two texts"),
    (["trainer.max_epochs=0", "task.pairs=together"], "regression", "trainer.max_epochs=0: only the similarity"),
    (["head/classifier=mlp"], "regression", "head/classifier: with task.pairs=apart scores are a cosine"),
    (["head.dropout=0.2"], "regression", "head.dropout: with task.pairs=apart scores are a cosine"),
    (["optimizer=exact", "encoder.frozen=true"], "regression", "optimizer=exact: with task.pairs=apart scores"),
    (["head=ner"], "classification", r"task table-\S+ has one label a text: it needs a sentence head"),
])  # fmt: skip
def test_what_cannot_be_is_refused_before_anything_runs(overrides, own, target, message):
    with pytest.raises(UserError) as caught:
        identify(compose(overrides(*own, target=target)))
    assert re.match(message, str(caught.value))
    assert "\n" not in str(caught.value)


def test_apart_has_a_key_of_its_own_and_together_is_what_it_was():
    apart, together, before = (
        identify(compose(["task=rte", "data_dir=null", *own])).key
        for own in (["task.pairs=apart"], ["task.pairs=together"], [])
    )
    assert together == before != apart
