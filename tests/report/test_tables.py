"""What stands in the cells, and how it is written."""

from __future__ import annotations

import pytest
from synthetic import make_result

from head2head.report import formats, tables
from head2head.report.analysis import Options, analyse
from head2head.report.formats import Cell, Table, p_value, percent, points, signed
from head2head.report.runs import load

MINUS = "\N{MINUS SIGN}"


def table(**options):
    return tables.scores(analyse(load("trial"), Options(**options)))


def column(found, name="rte (accuracy)"):
    """Head -> text of its cell, with ** around what is bold."""
    i = found.columns.index(name)
    return {str(row[0]): f"**{row[i].lead}**{row[i].rest}" if row[i].bold else str(row[i]) for row in found.rows}


def runs(head, values, task="rte", **fields):
    return [make_result(task, head, seed, value, **fields) for seed, value in enumerate(values)]


def test_a_cell_is_mean_and_standard_deviation_in_per_cent(make):
    make(runs("mean", [0.70, 0.72, 0.74]))
    assert column(table()) == {"mean": "**72.0** ± 2.0", "majority baseline": "50.0", "n": "3 runs"}
    assert "mean over runs ± standard deviation" in table().caption


def test_one_seed_has_no_standard_deviation(make):
    make(runs("mean", [0.7]))
    assert column(table())["mean"] == "**70.0**"


def test_a_collapsed_run_is_counted_in_its_cell(make):
    make([*runs("mean", [0.5, 0.5], collapsed=True), make_result("rte", "mean", 2, 0.8)])
    assert column(table())["mean"] == "**60.0** ± 17.3 (2 collapsed)"
    assert any(line.startswith("collapsed") for line in table().legend)


def test_a_run_that_was_stopped_early_is_counted_in_its_cell(make):
    make([*runs("mean", [0.5, 0.5], stopped="hyperband"), make_result("rte", "mean", 2, 0.8)])
    assert column(table())["mean"] == "**60.0** ± 17.3 (2 ≤ baseline) (2 stopped early)"
    assert any(line.startswith("stopped early") for line in table().legend)
    assert any("2 runs of 3 were stopped early" in line for line in analyse(load("trial"), Options()).cautions)


def test_a_failed_run_is_counted_and_is_no_score(make):
    make([*runs("mean", [0.7, 0.7, None]), *runs("cls", [None, None, None]), *runs("pooler", [0.6, 0.6])])
    found = column(table())
    assert found["mean"] == "**70.0** ± 0.0 (1 failed)"
    assert found["cls"] == "3 failed"


def test_a_head_without_runs_on_a_task_keeps_its_cell(make):
    make(runs("mean", [0.7]) + runs("cls", [0.6], task="sst2"))
    assert column(table())["cls"] == "\N{EN DASH}"


def test_the_number_of_runs_is_shown_where_it_is_unusual(make):
    make(runs("mean", [0.7, 0.7]) + runs("cls", [0.6, 0.6]) + runs("max", [0.55]))
    assert column(table())["max"] == "55.0 (n=1)"


def test_means_that_read_alike_are_bold_alike(make):
    make(runs("mean", [0.7001]) + runs("cls", [0.7004]) + runs("max", [0.6989]))
    found = column(table())
    assert (found["mean"], found["cls"], found["max"]) == ("**70.0**", "**70.0**", "69.9")


def test_runs_not_above_the_baseline_are_counted_in_their_cell(make):
    make(runs("mean", [0.5, 0.6, 0.4]))
    assert column(table())["mean"].endswith(" (2 ≤ baseline)")
    assert any(line.startswith("≤ baseline") for line in table().legend)


def test_runs_not_above_the_baseline_because_they_collapsed_are_counted_once(make):
    make(runs("mean", [0.5, 0.5], collapsed=True))
    assert column(table())["mean"].endswith(" (2 collapsed)")
    make([*runs("mean", [0.5, 0.5], collapsed=True), make_result("rte", "mean", 2, 0.4)])
    assert column(table())["mean"].endswith(" (2 collapsed) (3 ≤ baseline)")


def test_runs_that_have_not_converged_are_counted_in_their_cell(make):
    make(runs("mean", [0.7, 0.7]))
    experiment = load("trial")
    experiment.results[0].converged, experiment.results[1].converged = False, True
    found = tables.scores(analyse(experiment, Options()))
    assert column(found)["mean"].endswith(" (1 not converged)")


def test_heads_that_are_perfect_or_never_learn_are_reported(make):
    make(
        [run for head, last in (("mean", 1.0), ("max", 1.0), ("cls", 0.99)) for run in runs(head, [1.0, last])]
        + runs("pooler", [0.5, 0.5], collapsed=True)
    )
    text = "\n".join(analyse(load("trial"), Options()).cautions)
    assert "rte: every run of mean, max is perfect; the task cannot rank them." in text
    assert "pooler collapsed in every run on rte" in text
    make([*runs("mean", [1.0, 1.0]), *runs("max", [0.9, 0.5]), make_result("rte", "max", 3, 0.5, collapsed=True)])
    text = "\n".join(analyse(load("trial"), Options()).cautions)
    assert "perfect" not in text
    assert "collapsed" not in text


def test_without_predictions_there_is_no_interval_and_no_dagger_and_it_is_said_why(make):
    low, high = ([base + seed / 1000 for seed in range(8)] for base in (0.6, 0.8))
    make(runs("pooler", low) + runs("mean", high))
    analysis = analyse(load("trial"), Options())
    assert column(tables.scores(analysis))["mean"] == "**80.3** ± 0.2"
    assert analysis.comparisons[["ci_low", "p", "p_holm"]].isna().all(axis=None)
    assert not analysis.comparisons["significant"].any()
    assert any("No interval, test or dagger for rte" in line and "not here" in line for line in analysis.cautions)
    assert not any("Reference" in line for line in table().legend)


def test_every_pair_is_compared_and_those_with_the_reference_are_a_family(make):
    values = {"pooler": 0.7, "mean": 0.8, "max": 0.6, "cls": 0.65}
    make([run for head, base in values.items() for run in runs(head, [base + s / 1000 for s in range(8)])])
    comparisons = analyse(load("trial"), Options()).comparisons
    assert len(comparisons) == 6
    assert (
        comparisons["to_reference"].tolist()
        == (comparisons["reference"] == "pooler").tolist()
        == [True] * 3 + [False] * 3
    )


@pytest.mark.parametrize(
    ("heads", "reference"),
    [
        (["mean", "pooler", "cls"], "pooler"),
        (["max", "mean", "embeddings-pooler"], "mean"),
        (["embeddings-attention", "embeddings-mean"], "embeddings-mean"),
        (["max", "cls"], "cls"),
    ],
)
def test_the_reference_is_pooler_else_mean_else_the_first(make, heads, reference):
    make([run for head in heads for run in runs(head, [0.5])])
    assert analyse(load("trial"), Options()).references == {"rte": reference}


def test_a_task_without_the_reference_takes_another_and_says_so(make):
    make(runs("mean", [0.5]) + runs("cls", [0.5]) + runs("ner", [0.5], task="t") + runs("crf-ner", [0.5], task="t"))
    analysis = analyse(load("trial"), Options(reference="cls"))
    assert analysis.references == {"rte": "cls", "t": "ner"}
    assert "t has no runs of cls; the reference there is ner." in analysis.cautions
    assert tables.references(analysis) == "cls (t: ner)"


def test_token_and_sentence_heads_are_ranked_apart(make):
    results = [
        r for task in ("a", "b") for head in ("mean", "cls") for r in runs(head, [0.5 + (head == "cls") / 9], task)
    ]
    results += [r for task in ("c", "d") for head in ("ner", "last-ner") for r in runs(head, [0.5], task)]
    make(results)
    over = analyse(load("trial"), Options()).ranks
    assert [(o.kind, o.tasks, o.mean_ranks.to_dict()) for o in over] == [
        ("sentence", ["a", "b"], {"cls": 1.0, "mean": 2.0}),
        ("token", ["c", "d"], {"ner": 1.5, "last-ner": 1.5}),
    ]


def test_wnli_is_in_no_ranking_and_it_is_said_why(make):
    make([r for task in ("cola", "rte", "wnli") for head in ("mean", "cls") for r in runs(head, [0.5], task)])
    analysis = analyse(load("trial"), Options())
    assert analysis.ranks[0].tasks == ["cola", "rte"]
    assert any(line.startswith("WNLI is in no ranking") for line in analysis.cautions)


def test_over_few_tasks_ranks_are_described_and_over_eight_tested(make):
    heads = ["pooler", "mean", "max"]
    make([r for t in range(7) for i, h in enumerate(heads) for r in runs(h, [0.5 + i / 10], f"t{t}")])
    analysis = analyse(load("trial"), Options())
    assert tables.ranks(analysis.ranks[0]) is None
    assert any(
        "describe these 7 tasks; they are tested from 8 different tasks on" in line for line in analysis.cautions
    )
    make([r for t in range(8) for i, h in enumerate(heads) for r in runs(h, [0.5 + i / 10], f"t{t}")])
    found = tables.ranks(analyse(load("trial"), Options()).ranks[0])
    assert [[str(cell) for cell in row] for row in found.rows] == [
        ["max", "1.00", "0.0001"], ["mean", "2.00", "0.0455"], ["pooler", "3.00", "\N{EN DASH}"]
    ]  # fmt: skip


def test_failures_missing_runs_and_other_data_are_reported(make):
    make(
        [
            *runs("mean", [0.5, None], data={"train": "a"}),
            *runs("cls", [0.5, 0.5], data={"train": "b"}),
            *runs("mean", [0.5, 0.5], task="sst2"),
        ]
    )
    text = "\n".join(analyse(load("trial"), Options()).cautions)
    assert "1 run failed (mean on rte, run 1): the loss is nan at step 7" in text
    assert "No runs of cls on sst2." in text
    assert "rte: runs read 2 different versions of the data" in text


def test_mixed_devices_threads_and_commits_are_listed(make):
    make([make_result("rte", "mean", s, 0.5, device="ab"[s], threads=s + 1, git_commit=f"{s}" * 40) for s in (0, 1)])
    notes = analyse(load("trial"), Options()).footnotes
    assert "Device: runs differ, 2 kinds: a, b." in notes
    assert "Threads: runs differ, 2 kinds: 1, 2." in notes
    assert "Commit: runs differ, 2 kinds: 0000000000, 1111111111." in notes


def streams(make, of_mean, of_cls):
    make([make_result("rte", "mean", s, 0.5 + s / 10, stream=stream) for s, stream in enumerate(of_mean)]
         + [make_result("rte", "cls", s, 0.6 + s / 10, stream=stream) for s, stream in enumerate(of_cls)])  # fmt: skip
    analysis = analyse(load("trial"), Options())
    notes = [note for note in analysis.footnotes if note.startswith("Stream")]
    return notes, [caution for caution in analysis.cautions if "confounded" in caution]


@pytest.mark.parametrize("of_cls", [("fast, cpu", "exact, cuda"), ("exact, cuda", "fast, cpu")])
def test_mixed_streams_are_listed_and_where_heads_share_them_nothing_is_confounded(make, of_cls):
    notes, confounded = streams(make, ("fast, cpu", "exact, cuda"), of_cls)
    assert notes == [
        "Streams: runs differ, 2 kinds of arithmetic: exact, cuda; fast, cpu; scores of the same key then agree only "
        "up to rounding and dropout masks."
    ]
    assert bool(confounded) == (of_cls[0] != "fast, cpu")


def test_heads_of_a_task_under_different_streams_are_a_confounded_comparison(make):
    notes, (caution,) = streams(make, ("fast", "fast"), ("exact", ""))
    assert "3 kinds of arithmetic: exact; fast; not recorded" in notes[0]
    assert caution.startswith("rte: heads were run with different arithmetic or dropout masks")


@pytest.mark.parametrize("stream", ["", "fast, cpu"])
def test_one_stream_goes_without_a_word(make, stream):
    assert streams(make, (stream, stream), (stream, stream)) == ([], [])


def test_the_pooler_of_minilm_gets_a_footnote(make):
    make(runs("pooler", [0.5]))
    assert any("MiniLM" in note and "next-sentence" in note for note in analyse(load("trial"), Options()).footnotes)
    make(runs("mean", [0.5]))
    assert not any("next-sentence" in note for note in analyse(load("trial"), Options()).footnotes)


def test_a_comparison_without_predictions_shows_the_difference_alone(make):
    make(runs("pooler", [0.5] * 6) + runs("mean", [0.6] * 6))
    (row,) = tables.comparisons(analyse(load("trial"), Options())).rows
    dash = "\N{EN DASH}"
    assert [str(cell) for cell in row] == ["rte", f"mean {MINUS} pooler", "6", "+10.00", dash, dash, dash, dash]


def test_numbers_as_text():
    assert [percent(0.8805), percent(-0.021), percent(-0.0001), percent(float("nan"))] == [
        "88.0",
        f"{MINUS}2.1",
        "0.0",
        "\N{EN DASH}",
    ]
    assert [signed(0.0125), signed(-0.0125), signed(-1e-9)] == ["+1.25", f"{MINUS}1.25", "0.00"]
    assert [p_value(0.0625), p_value(1e-6)] == ["0.0625", "<0.0001"]
    assert [points(0.0314), points(float("nan"))] == ["3.1", "\N{EN DASH}"]


def test_latex_is_escaped_and_has_booktabs_rules():
    made = Table(r"50 % of a_b", ["head", "t & u"], [[Cell("a_b#{}$~^\\"), Cell("1.0", f" ± 2†<{MINUS}", True)]])
    text = formats.latex(made, "x")
    assert r"\caption{50 \% of a\_b}" in text
    assert r"head & t \& u \\" in text
    assert (
        r"a\_b\#\{\}\$\textasciitilde{}\textasciicircum{}\textbackslash{} & \textbf{1.0} $\pm$ 2$^\dagger$$<$$-$ \\"
        in text
    )
    assert [text.count(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")] == [1, 1, 1]


def test_markdown_keeps_bars_and_stars_as_text():
    text = formats.markdown(Table("c", ["a|b", "x"], [[Cell("*"), Cell("1", "2", True)]]))
    assert "| a\\|b | x |\n| :-- | --: |\n| \\* | **1**2 |" in text
