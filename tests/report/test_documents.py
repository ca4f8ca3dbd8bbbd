"""Tables in documents are those that the report makes."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted(ROOT.glob("experiments/*/README.md"))]


def score_rows(text: str) -> list[str]:
    """Lines of tables of scores: those with a mean and its standard deviation."""
    return [line for line in text.splitlines() if line.startswith("|") and re.search(r"\d ± \d", line)]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_row_of_scores_stands_in_an_experiments_table(document):
    made = {row for path in ROOT.glob("experiments/*/table.md") for row in score_rows(path.read_text("utf-8"))}
    assert [row for row in score_rows(document.read_text("utf-8")) if row not in made] == []


def test_every_row_of_speeds_stands_in_the_benchmarks_results():
    made = (ROOT / "benchmarks" / "results.md").read_text("utf-8").splitlines()
    shown = [line for line in (ROOT / "README.md").read_text("utf-8").splitlines() if ", head2head, `" in line]
    assert shown
    assert [line for line in shown if line not in made] == []


def test_the_readme_shows_a_table_of_scores():
    assert len(score_rows((ROOT / "README.md").read_text("utf-8"))) >= 5
