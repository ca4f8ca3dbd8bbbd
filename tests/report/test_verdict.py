"""The two sentences that the page opens with."""

from __future__ import annotations

import pytest
from synthetic import cross_validated, make_result, write_experiment

from head2head.report.analysis import Options, analyse
from head2head.report.runs import load
from head2head.report.verdict import verdict


def said(make, results) -> list[str]:
    make(results)
    return verdict(analyse(load("trial"), Options()))


def with_predictions(tmp_path, monkeypatch, rates, **options) -> list[str]:
    monkeypatch.chdir(tmp_path)
    write_experiment(tmp_path, cross_validated(tmp_path, {h: {1e-3: r} for h, r in rates.items()}, **options))
    return verdict(analyse(load("trial"), Options()))


def test_a_head_that_is_above_all_others_is_to_be_taken(tmp_path, monkeypatch):
    first, second = with_predictions(tmp_path, monkeypatch, {"mean": 0.9, "pooler": 0.5}, rows=400)
    assert first.startswith("Take mean: the best mean, ")
    assert first.endswith("; shown to be above every other head, or as good.")
    assert second.startswith("What is shown here more runs would not make surer")


def test_what_is_undecided_says_how_many_runs_or_rows_would_decide_it(tmp_path, monkeypatch):
    first, second = with_predictions(tmp_path, monkeypatch, {"mean": 0.70, "max": 0.71}, rows=300)
    assert first.endswith("; not shown to be best.")
    assert second.startswith(("Surer with about ", "Neither more runs nor more rows alone"))


def test_without_predictions_nothing_is_claimed(make):
    first, second = said(make, [make_result("rte", h, s, x) for h, x in (("mean", 0.9), ("cls", 0.6)) for s in (0, 1)])
    assert first == "Take mean: the best mean, 90.0; how sure that is cannot be said, since predictions are missing."
    assert second.startswith("The predictions of every run would say how sure: ")


def test_of_several_tasks_the_best_mean_rank_counts(make):
    scores = {"mean": (0.9, 0.6, 0.8), "cls": (0.8, 0.7, 0.7)}
    results = [make_result(f"t{i}", head, 0, x) for head, xs in scores.items() for i, x in enumerate(xs)]
    assert said(make, results)[0].startswith("Take mean: the best mean rank, 1.33 over 3 tasks; ")


def test_where_heads_ran_on_different_tasks_the_most_best_means_count(make):
    scores = {"mean": {"a": 0.9, "b": 0.9}, "cls": {"a": 0.8}, "max": {"b": 0.7}, "pooler": {"c": 0.8}}
    results = [make_result(task, head, 0, x) for head, of in scores.items() for task, x in of.items()]
    first, _ = said(make, results)
    assert first.startswith("Take mean: the best mean on 2 of 3 tasks; ")
    assert "not run on c" in first


def test_no_head_above_the_baseline_is_none_to_take(make):
    first, second = said(make, [make_result("rte", head, 0, 0.4) for head in ("mean", "cls")])
    assert first == "No head is above the majority baseline, so there is none to take."
    assert "one run must learn" in second


def test_failed_runs_alone_have_no_score(make):
    assert said(make, [make_result("rte", "mean", 0, None)])[0] == "No head has a score."


def test_one_head_has_no_other_to_compare_it_with(make):
    first, second = said(make, [make_result("rte", "mean", 0, 0.9)])
    assert first == "Take mean: the best mean, 90.0; with no other head to compare it with."
    assert second == "Runs of a second head would say more."


def test_sentence_and_token_heads_have_two_sentences_each(make):
    results = [make_result("rte", "mean", 0, 0.9), make_result("conll2003", "ner", 0, 0.9)]
    sentences = said(make, results)
    assert len(sentences) == 4
    assert sentences[0].startswith("Sentence heads: Take mean")
    assert sentences[2].startswith("Token heads: Take ner")


def test_wnli_decides_nothing(make):
    results = [make_result(task, head, 0, x) for task, head, x in (("wnli", "cls", 0.9), ("wnli", "mean", 0.5))]
    results += [make_result("rte", "cls", 0, 0.6), make_result("rte", "mean", 0, 0.7)]
    assert said(make, results)[0].startswith("Take mean: the best mean, 70.0")


def test_heads_practically_equal_count_as_good(tmp_path, monkeypatch):
    import copy

    monkeypatch.chdir(tmp_path)
    results = cross_validated(tmp_path, {"mean": {1e-3: 0.8}, "pooler": {1e-3: 0.4}}, rows=400)
    for result in [result for result in results if result.head == "mean"]:
        twin = copy.deepcopy(result)
        twin.head, twin.key = "max", f"max{result.key}"
        results.append(twin)
    write_experiment(tmp_path, results)
    first = verdict(analyse(load("trial"), Options()))[0]
    assert first.endswith("shown to be above every other head, or as good.")


@pytest.mark.parametrize("worse", [0.55, 0.6])
def test_every_verdict_is_two_sentences(make, worse):
    results = [make_result(t, h, s, x) for t in "ab" for h, x in (("mean", 0.7), ("cls", worse)) for s in range(3)]
    assert [sentence.count(". ") for sentence in said(make, results)] == [0, 0]
