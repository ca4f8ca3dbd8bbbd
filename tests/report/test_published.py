"""Published scores beside ours."""

from __future__ import annotations

import pytest
from synthetic import make_result

from head2head.errors import UserError
from head2head.report import tables
from head2head.report.analysis import Options, analyse
from head2head.report.runs import load

HEADER = "task,metric,head,split,score,model,source\n"


@pytest.fixture
def beside(make):
    """Analyses an experiment with the given published.csv."""
    folder = make(
        [make_result("rte", "pooler", seed, 0.66 + seed / 100) for seed in (0, 1, 2)]
        + [make_result("rte", "mean", 0, 0.70)]
        + [
            make_result(
                "mnli",
                "pooler",
                0,
                0.84,
                split="validation_matched",
                metrics={
                    "last": {"validation_matched": {"accuracy": 0.84}, "validation_mismatched": {"accuracy": 0.83}}
                },
            )
        ]
    )

    def analysed(text: str):
        (folder / "published.csv").write_text(text, encoding="utf-8")
        return analyse(load("trial"), Options())

    return analysed


def test_the_difference_is_ours_minus_published(beside):
    (row,) = beside(HEADER + "rte,accuracy,mean,dev,66.4,bert-base,Devlin 2019\n").published.itertuples()
    assert (row.ours, row.score, row.difference) == pytest.approx((0.70, 0.664, 0.036))


def test_an_empty_head_stands_for_the_reference(beside):
    (row,) = beside(HEADER + "rte,accuracy,,dev,66.4,bert-base,Devlin 2019\n").published.itertuples()
    assert (row.head, row.n) == ("pooler", 3)
    assert row.ours == pytest.approx(0.67)


def test_our_split_is_of_the_published_name_where_there_is_one(beside):
    lines = [f"mnli,accuracy,,{split},84.6,bert-base,Devlin 2019\n" for split in ("validation_mismatched", "test")]
    published = beside(HEADER + "".join(lines)).published
    assert published["our_split"].tolist() == ["validation_mismatched", "validation_matched"]
    assert published["ours"].tolist() == [0.83, 0.84]


def test_what_we_have_no_score_of_is_shown_without_ours(beside):
    analysis = beside(HEADER + "rte,mcc,,dev,56.5,b,S\nrte,accuracy,cls,dev,66.4,b,S\nqqp,f1,,dev,71.2,b,S\n")
    assert analysis.published["ours"].isna().all()
    rows = [[str(cell) for cell in row] for row in tables.published(analysis).rows]
    assert rows[2] == ["qqp", "f1", "\N{EN DASH}", "b", "S", "71.2 (dev)", "\N{EN DASH}", "\N{EN DASH}"]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", ":1: no column task; required are task, metric, score, source"),
        ("task,metric,score\n", ":1: no column source"),
        ("task,metric,score,source,sauce\n", ":1: unknown column 'sauce'; did you mean source"),
        (HEADER + "rte,accuracy,,dev,high,b,S\n", ":2: score 'high' is no number"),
        (HEADER + "\nrte,accuracy,,dev,0.66,b,S\n", ":3: score 0.66 is a fraction; write per cent, as in 66"),
        (HEADER + "rte,accuracy,,dev,166,b,S\n", ":2: score '166' is no number of per cent"),
        (HEADER + "rte,accuracy,,dev,66.4,b,\n", ":2: source is empty"),
        (HEADER + "rte,accuracy,66.4\n", ":2: expected 7 columns, found 3"),
    ],
)
def test_errors_name_the_line(beside, text, error):
    with pytest.raises(UserError) as raised:
        beside(text)
    assert str(raised.value).startswith(f"experiments/trial/published.csv{error}")


def test_zero_is_a_score_in_either_unit(beside):
    assert beside(HEADER + "rte,accuracy,,dev,0,b,S\n").published["score"].tolist() == [0]
