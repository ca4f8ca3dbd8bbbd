"""report.html as a browser shows it, wide and narrow, light and dark."""

from __future__ import annotations

from pathlib import Path

import pytest
from headless import look
from synthetic import make_result, write_experiment

from head2head.report.analysis import Options, analyse
from head2head.report.page import write
from head2head.report.runs import load

TASKS = ("cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "mnli-mm", "qnli", "rte", "wnli")
HEADS = ("pooler", "cls", "mean", "max", "sqrt_mean", "mean_max", "attention", "weighted_sum-mean", "concat_last4-mean")

# Whatever lies beside its frame: of what does not scroll the window's, of texts in figures the figure's own.
OUTSIDE = """
JSON.stringify((() => {
  for (const folded of document.querySelectorAll("details")) folded.open = true;
  const width = document.documentElement.clientWidth, scrolls = ".scroll, .picture, pre";
  const wide = [...document.body.querySelectorAll("*")].filter((element) => {
    if (element.parentElement.closest(scrolls)) return false;
    const box = element.getBoundingClientRect();
    return box.left < -1 || box.right > width + 1;
  });
  const texts = [...document.querySelectorAll(".picture svg text")].filter((text) => {
    const [box, own] = [text.ownerSVGElement.getBoundingClientRect(), text.getBoundingClientRect()];
    return own.left < box.left - 1 || own.right > box.right + 1 || own.top < box.top - 1 || own.bottom > box.bottom + 1;
  });
  const scores = document.querySelector("#table-scores + .scroll");
  scores.scrollTo(60, 60);
  const frame = scores.getBoundingClientRect(), at = (element) => element.getBoundingClientRect();
  const table = scores.querySelector("table"), corner = table.tHead.rows[0].cells;
  const result = {
    wide: wide.map((element) => element.outerHTML.slice(0, 80)),
    texts: texts.map((text) => text.textContent),
    page: document.documentElement.scrollWidth - width,
    scores: scores.scrollWidth - scores.clientWidth,
    scrolled: [scores.scrollLeft, scores.scrollTop],
    first: at(table.tBodies[0].rows[5].cells[0]).left - frame.left,
    header: at(corner[3]).top - frame.top,
    ink: getComputedStyle(document.querySelector(".picture svg text")).fill,
    paper: getComputedStyle(document.querySelector(".picture")).backgroundColor,
  };
  scores.scrollTo(0, 0);
  const button = corner[1].querySelector("button"), mean = (row) => parseFloat(row.cells[1].textContent);
  button.click();
  result.down = [...table.tBodies[0].rows].map(mean);
  result.announced = corner[1].getAttribute("aria-sort");
  button.click();
  result.up = [...table.tBodies[0].rows].map(mean);
  return result;
})())
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("browser")
    write_experiment(
        folder,
        [
            make_result(task, head, seed, 0.55 + (7 * i + 3 * j + seed) % 10 / 30, collapsed=(i + j) % 9 == 0)
            for i, task in enumerate(TASKS)
            for j, head in enumerate(HEADS)
            for seed in range(3)
        ],
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        experiment = load("trial")
        written = write(experiment, analyse(experiment, Options()), experiment.folder, "head2head report trial")
    return folder / written[0]


@pytest.fixture(scope="module")
def wide(page):
    return look(page, 1200, OUTSIDE)


@pytest.fixture(scope="module")
def narrow(page):
    return look(page, 390, OUTSIDE, height=500, dark=True)


@pytest.mark.parametrize("width", ["wide", "narrow"])
def test_the_page_asks_for_nothing_and_reports_no_error(width, page, request):
    seen = request.getfixturevalue(width)
    assert seen["console"] == []
    assert seen["requests"] == [page.as_uri()]


@pytest.mark.parametrize("width", ["wide", "narrow"])
def test_nothing_lies_outside_its_frame(width, request):
    found = request.getfixturevalue(width)["found"]
    assert (found["wide"], found["texts"], found["page"]) == ([], [], 0)


def test_ten_tasks_fit_side_by_side_in_a_wide_window(wide):
    assert wide["found"]["scores"] == 0


def test_in_a_narrow_window_the_scores_scroll_under_their_first_column_and_header(narrow):
    found = narrow["found"]
    assert found["scrolled"] == [60, 60]
    assert found["first"] == pytest.approx(1, abs=1)  # the frame's border
    assert found["header"] == pytest.approx(1, abs=1)


@pytest.mark.parametrize("width", ["wide", "narrow"])
def test_a_click_on_a_column_sorts_by_it_and_another_the_other_way(width, request):
    found = request.getfixturevalue(width)["found"]
    assert len(set(found["down"])) > 2
    assert found["down"] == sorted(found["down"], reverse=True)
    assert found["up"] == sorted(found["up"])
    assert found["announced"] == "descending"


def test_figures_follow_dark_mode(wide, narrow):
    def light(color: str) -> int:
        return sum(map(int, color.removeprefix("rgb(").removesuffix(")").split(", ")))

    assert light(wide["found"]["ink"]) < 200 < 600 < light(wide["found"]["paper"])
    assert light(narrow["found"]["paper"]) < 200 < 600 < light(narrow["found"]["ink"])
