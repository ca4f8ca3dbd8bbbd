"""report.html: one file that needs nothing else, and the figures beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from head2head.files import write_atomically
from head2head.report import tables
from head2head.report.analysis import Analysis
from head2head.report.formats import Cell, Table
from head2head.report.headline import headline
from head2head.report.labels import shared
from head2head.report.plots import FIGURE, draw, drawing
from head2head.report.plots.drawing import Plot, inline
from head2head.report.run_list import run_list
from head2head.report.runs import Experiment
from head2head.report.templates import rendered
from head2head.report.verdict import verdict

PAGE, PLOTS, SWEEP = "report.html", "plots", "sweep.yaml"
TEMPLATE = "page.html.j2"


# What the variables of `drawing.VARIABLES` are on the page; on dark cards strokes are light, and dark heads lighter.
LIGHT = {variable: color for color, variable in drawing.VARIABLES.items()}
DARK = LIGHT | {
    "--ink": "#e4e6e9", "--paper": "#1e2125", "--pencil": "#a3aab4", "--grid": "#33383e", "--band": "#2b3036",
    "--alarm": "#ff8d66", "--head-0": "#62aef0", "--head-2": "#f0604a", "--head-3": "#c48aec", "--head-4": "#cd9482",
    "--head-8": "#d5d8de",
}  # fmt: skip


@dataclass(frozen=True)
class Picture:
    """A figure as the template shows it."""

    plot: Plot
    svg: Markup


def write(experiment: Experiment, analysis: Analysis, folder: Path, command: str) -> list[Path]:
    """Write report.html and plots/NAME.svg and .png into a folder; returns the page and the folder of figures.

    Each file is written whole or not at all, the page last. Figures of an earlier report that are no longer
    drawn are removed.

    Args:
        command: what made the report, as the page says.

    Raises:
        OSError: the folder cannot be written.
    """
    (folder / PLOTS).mkdir(parents=True, exist_ok=True)
    pictures = []
    for plot in draw(analysis):
        svg = plot.svg()
        write_atomically(folder / PLOTS / f"{plot.name}.svg", svg)
        write_atomically(folder / PLOTS / f"{plot.name}.png", plot.png())
        pictures.append(Picture(plot, Markup(inline(svg, plot.name))))  # matplotlib escapes its text
    drawn = {picture.plot.name for picture in pictures}
    for path in (folder / PLOTS).iterdir():
        if FIGURE.fullmatch(path.name) and path.stem not in drawn:
            path.unlink()
    page = folder / PAGE
    write_atomically(page, html(experiment, analysis, pictures, command))
    return [page, folder / PLOTS]


def html(experiment: Experiment, analysis: Analysis, pictures: list[Picture], command: str) -> str:
    """The page. Everything that comes from a run or a file is escaped."""
    sweep = experiment.folder / SWEEP
    main = tables.scores(analysis, short=True)
    return rendered(
        TEMPLATE,
        grouped=grouped,
        name=experiment.name,
        verdict=verdict(analysis),
        headline=headline(analysis),
        counts=_counts(analysis),
        main=main,
        pictures=pictures,
        sections=tables.sections(analysis),
        cautions=analysis.cautions,
        failed=failed_runs(experiment),
        runs=run_list(analysis),
        palettes={"light": LIGHT, "dark": DARK},
        footnotes=analysis.footnotes,
        settings=fixed_settings(experiment),
        command=command,
        sweep=sweep.read_text(encoding="utf-8", errors="replace") if sweep.is_file() else None,
    )


def grouped(table: Table, foot: int = 0) -> list[tuple[str | None, list[list[Cell]]]]:
    """A table's rows but for the last `foot`, by task where the first column names several, which rows then need not
    repeat: the task, or None where there are no groups, and the rows."""
    rows = table.rows[: len(table.rows) - foot]
    names = [str(row[0]) for row in rows]
    if table.columns[0] != "task" or len(set(names)) < 2 or table.words < 2:
        return [(None, rows)]
    return [
        (task, [row[1:] for row, name in zip(rows, names, strict=True) if name == task])
        for task in dict.fromkeys(names)
    ]


def failed_runs(experiment: Experiment) -> Table | None:
    """Every run without a score, and why."""
    failed = experiment.frame[experiment.frame["failed"].notna()]
    if failed.empty:
        return None
    rows = [[Cell(run.task), Cell(run.head), Cell(str(run.run)), Cell(run.failed)] for run in failed.itertuples()]
    return Table("Runs without a score.", ["task", "head", "run", "why"], rows, words=4)


def fixed_settings(experiment: Experiment) -> Table:
    """Settings that all runs share, but for those that cannot change a result."""
    rows = [
        [Cell(name), Cell(value)]
        for name, value in shared(experiment.settings)
        if not name.endswith(("_target_", "_partial_"))
    ]
    return Table("The same in every run.", ["setting", "value"], rows, words=2)


def _counts(analysis: Analysis) -> str:
    frame = analysis.experiment.frame
    parts: list[tuple[int, str]] = [
        (len(frame), "run"), (len(analysis.tasks), "task"), (len(analysis.heads), "head"),
        (frame["run"].nunique(), "seed"),
    ]  # fmt: skip
    text = ", ".join(f"{count:,} {noun}{'s' * (count != 1)}" for count, noun in parts)
    marked: list[tuple[Any, str]] = [(frame["failed"].notna().sum(), "failed"), (frame["collapsed"].sum(), "collapsed")]
    return text + "".join(f", {count} {what}" for count, what in marked if count)
