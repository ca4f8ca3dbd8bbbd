"""Tables in documents are those that the report makes, and every number in an experiment's prose has an address.

A number in the prose of experiments/NAME/README.md stands in a comment of the same paragraph (a block between blank
lines, or a row of a table that is not one of scores), with where it comes from:

    mean reaches 43.0 on STS-B. <!-- 43.0 = table.csv mean task=stsb head=mean -->

The address is a file that `head2head report NAME` writes, a column (with a minus for its negative), and what picks the
row; or `sweep.yaml PARAMETER`, `results.jsonl` (its number of runs), or `given: WHY` for what is no result of this
experiment. Several are parted by semicolons. Numbers in code, links, and names (CoNLL-2003, F1) need none.
"""

from __future__ import annotations

import re
from numbers import Integral
from pathlib import Path

import pandas as pd
import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted(ROOT.glob("experiments/*/README.md"))]
PAGES = [path for path in DOCUMENTS if (path.parent / "results.jsonl").exists()]
COMMENT = re.compile(r"<!--(.*?)-->", re.DOTALL)
NOT_PROSE = re.compile(r"```.*?```|`[^`]*`|\]\([^)]*\)", re.DOTALL)
NUMBER = re.compile(r"(?<![\w.,-])[\u2212+-]?\d+(?:,\d{3})*(?:\.\d+)?(?:e-?\d+)?(?![\w]|\.\d)")


def score_rows(text: str) -> list[str]:
    """Lines of tables of scores: those with a mean and its standard deviation or interval."""
    return [line for line in text.splitlines() if line.startswith("|") and re.search(r"\d\**( ±| \[)", line)]


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


def wrong_numbers(text: str, experiment: Path, made: Path) -> list[str]:
    """What is wrong with the numbers in a page's prose.

    Args:
        made: the folder that the experiment's report was written to.
    """
    found = []
    for block in re.split(r"\n\s*\n", re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
        lines = block.splitlines()
        if lines and lines[0].startswith("|") and score_rows(block):
            continue
        entries = [entry.strip() for comment in COMMENT.findall(block) for entry in comment.split(";")]
        addresses = [tuple(entry.split(" = ", 1)) for entry in entries if " = " in entry]
        prose = NOT_PROSE.sub(" ", COMMENT.sub(" ", block))
        numbers = [number.lstrip("+").replace("\N{MINUS SIGN}", "-") for number in NUMBER.findall(prose)]
        found += [f"{number}: no address" for number in numbers if number not in dict(addresses)]
        found += [f"{number}: not in the paragraph" for number, _ in addresses if number not in numbers]
        found += [
            f"{number}: {address} is {there}"
            for number, address in addresses
            if (there := looked_up(address, experiment, made, number)) != number
        ]
    return found


def looked_up(address: str, experiment: Path, made: Path, number: str) -> str:
    """The number at an address, with as many decimals as the one in the prose, fractions in per cent."""
    if address.startswith("given: "):
        return number
    name, *rest = address.split()
    if name == "results.jsonl":
        return str(len((experiment / name).read_text("utf-8").splitlines()))
    if name == "sweep.yaml":
        parameter = yaml.safe_load((experiment / name).read_text("utf-8"))["parameters"][rest[0]]
        values = parameter.get("values", [parameter.get("value")])
        return number if any(float(number) == value for value in values) else str(values)
    table = pd.read_csv(made / name)
    column, _, conditions = " ".join(rest).partition(" ")
    for key, value in re.findall(r"(\w+)=(.*?)(?=\s\w+=|$)", conditions):  # labels have blanks: head=mean · exact
        table = table[table[key].astype(str) == value]
    values = set(table[column.removeprefix("-")])
    if len(values) != 1:
        return f"{len(values)} values"
    (value,) = values
    if isinstance(value, Integral):
        return str(value)
    decimals = len(number.partition(".")[2])
    return f"{(-100 if column.startswith('-') else 100) * value:.{decimals}f}"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.parent.name)
def test_every_number_in_the_prose_is_the_one_at_its_address(page, committed):
    _, made = committed(page.parent.name)
    assert wrong_numbers(page.read_text("utf-8"), page.parent, made) == []


def test_a_changed_digit_fails(committed):
    page = next(page for page in PAGES if "table.csv" in page.read_text("utf-8"))
    text, (_, made) = page.read_text("utf-8"), committed(page.parent.name)
    number, address = re.search(r"([\d.]+) = (table\.csv[^;>]*?)\s*(?:;|-->)", text).groups()
    changed = number[:-1] + str((int(number[-1]) + 1) % 10)
    assert wrong_numbers(text.replace(f"{number} = ", f"{changed} = "), page.parent, made)  # in the comment alone
    prose = re.sub(rf"(?<![\d.]){re.escape(number)}(?![\d.])(?! = )", changed, text)
    assert wrong_numbers(prose, page.parent, made)  # in the prose alone
    both = re.sub(rf"(?<![\d.]){re.escape(number)}(?![\d.])", changed, text)
    assert any(address.split()[0] in wrong for wrong in wrong_numbers(both, page.parent, made))
