"""optimizer=exact: what scikit-learn makes of features that transformers alone has computed."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from frozen_runs import SETTINGS, logits
from scipy.special import softmax
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, matthews_corrcoef
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_info

from composed import compose
from head2head.cli.evaluate import evaluate
from head2head.data.folds import assign
from head2head.errors import UserError
from head2head.frozen.dispatch import run_one
from head2head.frozen.eligible import group_of
from head2head.model.exact import solve
from head2head.run.key import identify
from head2head.run.result import Result

WORDS = "cat dog bird sat ran".split()
TRAINED = [s for s in SETTINGS if not s.startswith("optimizer.")]
EXACT = [*(s for s in TRAINED if not s.startswith("task.")), "optimizer=exact", "trainer.precision=64-true"]


@pytest.fixture
def encoder(tmp_path):
    """A random BERT in a folder, with spread enough that its features tell texts apart."""
    from transformers import BertConfig, BertModel

    from head2head.data.vocabulary import built_in_tokenizer

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=512, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        initializer_range=0.2,
    )  # fmt: skip
    BertModel(config).save_pretrained(tmp_path / "bert")
    built_in_tokenizer().save_pretrained(tmp_path / "bert")
    return f"{tmp_path}/bert"


@pytest.fixture
def files(tmp_path):
    """Texts with a label or a value that their words have a part in."""

    def written(values: bool) -> list[str]:
        rng = np.random.default_rng(3)
        for split, count in (("train", 160), ("validation", 60)):
            texts = [" ".join(rng.choice(WORDS, size=rng.integers(2, 8))) for _ in range(count)]
            worth = [text.count("cat") - text.count("dog") + rng.normal() / 4 for text in texts]
            labels = [round(v, 3) if values else "yes" if v > 0 else "no" for v in worth]
            pd.DataFrame({"text": texts, "label": labels}).to_csv(tmp_path / f"{split}.csv", index=False)
        return [f"task.{split}={tmp_path}/{split}.csv" for split in ("train", "validation")]

    return written


def by_hand(folder: str, texts: list[str]) -> np.ndarray:
    """(N, 32) mean of the last hidden state over the tokens, with nothing but transformers and torch."""
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).double().eval()
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        states = model(**batch).last_hidden_state
    mask = batch["attention_mask"].unsqueeze(-1)
    return ((states * mask).sum(1) / mask.sum(1)).numpy()


def best_strength(features, targets, groups, strata, strengths, build, score) -> float:
    """Chosen by five folds of whole groups, the strongest of equal ones."""
    folds = assign(strata, groups, 5, 0)
    means = []
    for strength in strengths:
        held = [folds == fold for fold in range(5)]
        fits = [build(strength, (~h).sum()).fit(features[~h], targets[~h]) for h in held]
        means.append(np.mean([score(m.predict(features[h]), targets[h]) for m, h in zip(fits, held, strict=True)]))
    return max(zip(np.round(means, 9), strengths, strict=True))[1]


def of_run(tmp_path, *overrides: str) -> Result:
    typed = [*EXACT, f"cache_dir={tmp_path}/cache", f"output_dir={tmp_path}/runs", *overrides]
    return run_one(compose(typed), typed)


@pytest.mark.parametrize("speed", ["fast", "exact"])
def test_labels_are_what_scikit_learn_makes_of_features_by_hand(encoder, files, tmp_path, speed):
    settings = ["task=table", *files(values=False), "encoder=any", f"encoder.name={encoder}", f"speed={speed}"]
    result = of_run(tmp_path, *settings, "task.metrics=[accuracy,mcc]")
    train, dev = (pd.read_csv(tmp_path / f"{split}.csv") for split in ("train", "validation"))
    scaler = StandardScaler().fit(by_hand(encoder, train["text"].tolist()))
    x, x_dev = (scaler.transform(by_hand(encoder, table["text"].tolist())) for table in (train, dev))
    y, y_dev = ((table["label"] == "yes").to_numpy().astype(int) for table in (train, dev))

    def build(strength, rows):
        return LogisticRegression(C=1 / (strength * rows), tol=1e-10, max_iter=10**5)

    groups = identify(compose([*EXACT, *settings])).task.clusters("train")
    assert len(set(groups)) < len(groups)  # some texts occur twice
    labels = np.eye(2, dtype=int)[y]
    strength = best_strength(x, y, groups, labels, result.solution["strengths"], build, accuracy_score)
    assert result.solution["strength"] == strength
    model = build(strength, len(x)).fit(x, y)
    found = logits(result)
    np.testing.assert_allclose(softmax(found, axis=1), model.predict_proba(x_dev), atol=1e-6)
    assert result.metrics["last"]["validation"]["accuracy"] == pytest.approx(
        accuracy_score(y_dev, model.predict(x_dev))
    )
    assert result.metrics["last"]["validation"]["mcc"] == pytest.approx(matthews_corrcoef(y_dev, model.predict(x_dev)))
    assert [point["epoch"] for point in result.curve] == [1]
    assert result.score > result.baseline["validation"]["accuracy"]


def test_values_are_what_scikit_learn_makes_of_features_by_hand(encoder, files, tmp_path):
    settings = ["task=table", "task.target=regression", *files(values=True), "encoder=any", f"encoder.name={encoder}"]
    result = of_run(tmp_path, *settings)
    train, dev = (pd.read_csv(tmp_path / f"{split}.csv") for split in ("train", "validation"))
    scaler = StandardScaler().fit(by_hand(encoder, train["text"].tolist()))
    x, x_dev = (scaler.transform(by_hand(encoder, table["text"].tolist())) for table in (train, dev))
    model = Ridge(alpha=result.solution["strength"] * len(x)).fit(x, train["label"])
    np.testing.assert_allclose(logits(result)[:, 0], model.predict(x_dev), atol=1e-6)
    expected = spearmanr(model.predict(x_dev), dev["label"]).statistic
    assert result.metrics["last"]["validation"]["spearman"] == pytest.approx(expected, abs=1e-6)
    assert result.solution["scores"][result.solution["strengths"].index(result.solution["strength"])] == max(
        result.solution["scores"]
    )


def test_a_fold_is_solved_on_the_rows_of_the_others_and_evaluate_gives_its_scores_again(tmp_path):
    result = of_run(tmp_path, "head=max", "fold=1", "folds=4", "task.rows.train=120")
    assert result.split == "fold"
    assert result.head == "max-exact"
    evaluate(Path(result.folder), split="fold")
    found = logits(result, f"predictions-{result.task}-fold.parquet")
    np.testing.assert_allclose(found, logits(result, "predictions-fold.parquet"), rtol=0, atol=1e-6)


def test_words_are_rows_of_a_token_task(tmp_path):
    result = of_run(tmp_path, "head=ner", "task=entities", "task.rows.train=60", "task.rows.validation=30")
    assert result.metric == "entity_f1"
    assert result.score > 0
    assert len(result.solution["scores"]) == len(result.solution["strengths"]) == 13


def test_no_seed_has_a_part_in_it_and_neither_has_what_only_training_knows(tmp_path):
    keys = {}
    for name, more in (("a", []), ("b", ["seed=1"]), ("c", ["trainer.max_epochs=9", "batch_size=3"])):
        result = of_run(tmp_path, "head=mean", "task.rows.train=80", "task.rows.validation=30", *more)
        keys[name] = (result.key, logits(result).tobytes())
    assert keys["a"][1] == keys["b"][1]
    assert keys["a"] == keys["c"]


def test_trained_and_solved_runs_share_a_group_and_its_features():
    trained, solved = compose(SETTINGS), compose([*TRAINED, "optimizer=exact"])
    assert group_of(trained) == group_of(solved) is not None


@pytest.mark.parametrize(("settings", "message"), [
    (["encoder.frozen=false"], "optimizer=exact solves a classifier on a frozen encoder; add encoder.frozen=true"),
    (["encoder.frozen=1"], "optimizer=exact solves a classifier on a frozen encoder"),
    (["head=weighted_sum", "head.layers.n=2"], r"head/layers \(WeightedSum\) learns: train it"),
    (["head=attention"], r"head/pool \(Attention\) learns: train it"),
    (["head/classifier=mlp"], "optimizer=exact solves a linear classifier, not Mlp"),
    (["head=ner", "head/classifier=bilstm", "task=entities"], "optimizer=exact solves a linear classifier, not BiLstm"),
    (["trainer.precision=bf16-mixed"], r"optimizer=exact with trainer\.precision=bf16-mixed"),
    (["head=pooler", "encoder.reinit_pooler=true"], "leave out encoder.reinit_pooler"),
])  # fmt: skip
def test_what_cannot_be_solved_is_refused_in_one_line(tmp_path, settings, message):
    with pytest.raises(UserError, match=message) as told:
        of_run(tmp_path, "task.rows.train=40", "task.rows.validation=20", *settings)
    assert "\n" not in str(told.value)


def test_settings_of_a_trained_classifier_are_unknown_to_one_that_is_solved():
    with pytest.raises(UserError, match=r"^unknown setting optimizer\.lr; "):
        compose([*EXACT, "optimizer.lr=1e-3"])


def test_rows_that_all_share_a_text_are_a_user_error(tmp_path):
    (tmp_path / "t.csv").write_text("text,label\n" + "same,a\nsame,b\n" * 5)
    with pytest.raises(UserError, match="all share a text"):
        of_run(tmp_path, "task=table", f"task.train={tmp_path}/t.csv", f"task.validation={tmp_path}/t.csv")


def test_numpy_multiplies_with_the_threads_that_were_asked_for(encoder, files, tmp_path, monkeypatch):
    """Its own number is that of the cores, and as many more than there are wait for each other."""
    found = []

    def watched(*arguments):
        found.extend(one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas")
        return solve(*arguments)

    monkeypatch.setattr("head2head.frozen.solving.solve", watched)
    settings = ["task=table", *files(values=False), "encoder=any", f"encoder.name={encoder}", "threads=2"]
    of_run(tmp_path, *settings)
    assert found
    assert set(found) == {2}
