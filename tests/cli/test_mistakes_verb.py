"""`head2head errors`: what runs get wrong, in the terminal, as JSON and as a page."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import confusion_matrix
from typer.testing import CliRunner

from composed import compose
from head2head.cli.main import app
from head2head.frozen.dispatch import run_one

QUICK = ("encoder=random-tiny", "trainer.enable_progress_bar=false", "threads=1", "save_model=false")


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    """Finished runs of a few steps: texts, words, values."""
    folder = tmp_path_factory.mktemp("runs")
    scores = folder / "scores.csv"
    scores.write_text("text,label\n" + "".join(f"the key {i} is here,{i / 4}\n" for i in range(12)), encoding="utf-8")
    values = ("task=table", f"task.train={scores}", f"task.validation={scores}", "task.target=regression")
    few = "task.rows.train=96"  # no more than are trained on
    commands = {
        "mean": ("task=agreement", "head=mean", few),
        "max": ("task=agreement", "head=max", few),
        "ner": ("task=entities", "head=ner", few),
        "ner2": ("task=entities", "head=ner", "seed=2", few),
        "values": (*values, "head=mean"),
        "values2": (*values, "head=cls"),
    }
    places = (f"output_dir={folder}/logs", f"cache_dir={folder}/cache")
    done = {}
    for name, overrides in commands.items():
        overrides = (*overrides, *QUICK, *places, "trainer.max_steps=3")
        done[name] = Path(run_one(compose(overrides), overrides).folder)
    return done


def call(*arguments: object) -> str:
    done = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["errors", *map(str, arguments)])
    assert done.exit_code == 0, done.output
    return done.stdout


def predictions(run: Path) -> pd.DataFrame:
    return pd.read_parquet(run / "predictions-validation.parquet")


def test_the_confusion_matrix_of_a_run_is_that_of_scikit_learn(runs):
    found, table = json.loads(call(runs["mean"], "--json")), predictions(runs["mean"])
    assert found["confusion"] == confusion_matrix(table["label"], table["prediction"], labels=found["labels"]).tolist()
    assert found["wrong"] == int((table["label"] != table["prediction"]).sum())


def test_the_most_confident_mistakes_come_with_their_texts(runs):
    found, table = json.loads(call(runs["mean"], "--json", "--most", 5)), predictions(runs["mean"])
    examples = found["examples"]
    assert len(examples) == min(5, found["wrong"])
    assert [e["probability"] for e in examples] == sorted((e["probability"] for e in examples), reverse=True)
    for example in examples:
        row = table.iloc[example["index"]]
        assert (row["label"], row["prediction"]) == (example["gold"], example["prediction"])
        logits = np.asarray(row["logits"], dtype=float)
        assert example["probability"] == pytest.approx(np.exp(logits.max()) / np.exp(logits).sum())
        assert len(example["text"].split()) > 2


def test_entity_errors_add_up_and_are_told_apart_by_what_training_had(runs):
    found = json.loads(call(runs["ner"], "--json"))
    kinds = found["kinds"]
    assert sum(kinds.values()) - kinds["spurious"] == found["entities"]["gold"] > 0
    for kind in ("correct", "type", "boundary", "boundary and type", "missed"):
        assert kinds[kind] == found["seen_in_training"][kind] + found["unseen_in_training"][kind]
    for kind, examples in found["examples"].items():
        assert len(examples) == min(20, kinds[kind])
        for example in examples:
            named = example["prediction"] if kind == "spurious" else example["gold"]
            assert named.rpartition(" (")[0] in example["text"]


def test_two_runs_are_compared_where_they_differ(runs):
    found = json.loads(call(runs["mean"], runs["max"], "--json"))
    first, second = predictions(runs["mean"]), predictions(runs["max"])
    differ = first["prediction"] != second["prediction"]
    only_first = int((differ & (first["prediction"] == first["label"])).sum())
    assert found["groups"]["only the first is right"] == only_first
    assert sum(found["groups"].values()) == len(first)
    for group, examples in found["examples"].items():
        for example in examples:
            assert example["first"] != example["second"]
            assert (example["first"] == example["gold"]) == (group == "only the first is right")


def test_two_runs_on_words_are_compared_by_sentence(runs):
    found = json.loads(call(runs["ner"], runs["ner2"], "--json"))
    assert sum(found["groups"].values()) == found["n"] == predictions(runs["ner"])["row"].nunique()
    for examples in found["examples"].values():
        for example in examples:
            assert example["first"] != example["second"]


def test_values_are_listed_by_how_far_they_are_off(runs):
    found, table = json.loads(call(runs["values"], "--json")), predictions(runs["values"])
    off = (table["label"] - table["prediction"]).abs()
    assert found["mean_absolute_error"] == pytest.approx(off.mean())
    assert found["examples"][0]["index"] == int(off.argmax())
    both = json.loads(call(runs["values"], runs["values2"], "--json"))
    assert sum(both["groups"].values()) == 12


@pytest.mark.parametrize("names", [("mean",), ("ner",), ("values",), ("mean", "max"), ("ner", "ner2")])
def test_terminal_and_page_say_the_same(runs, names, tmp_path):
    page = tmp_path / "errors.html"
    folders = [runs[name] for name in names]
    shown = call(*folders, "--output", page)
    text = page.read_text(encoding="utf-8")
    assert str(page) in shown.replace("\n", "")
    for caption in re.findall(r'<p class="caption"[^>]*>([^<]+)<', text):
        assert caption.split(".")[0].split(" (")[0] in shown
    assert not re.search(r"(?:src|href)=", text)
    assert "Content-Security-Policy" in text


def test_a_text_is_escaped_in_the_page(runs):
    from head2head.report.mistakes_page import html

    found = json.loads(call(runs["mean"], "--json"))
    found["examples"][0]["text"] = "</td><script>alert(1)</script>"
    assert "<script>alert" not in html(found)


def failing(*arguments: object) -> str:
    done = CliRunner().invoke(app, ["errors", *map(str, arguments)])
    assert done.exit_code == 1
    assert len(done.output.strip().splitlines()) == 1
    return done.output.strip()


def test_what_cannot_be_examined_is_one_line(runs, tmp_path):
    assert "not the folder of a finished run" in failing(tmp_path)
    assert f"head2head evaluate {runs['mean']} --split test" in failing(runs["mean"], "--split", "test")
    assert "did not predict the same examples" in failing(runs["mean"], runs["ner"])
    assert "a name that ends in .html" in failing(runs["mean"], "--output", tmp_path / "page.pdf")


def test_data_that_have_changed_since_the_run_are_refused(runs, tmp_path):
    import shutil

    changed = tmp_path / "run"
    shutil.copytree(runs["mean"], changed)
    path = changed / "predictions-validation.parquet"
    table = pd.read_parquet(path)
    table.iloc[::-1].reset_index(drop=True).iloc[:-1].to_parquet(path)
    assert "are not those that the run predicted" in failing(changed)
