"""`head2head report NAME`: from an experiment's results to its tables, plots and page."""

from __future__ import annotations

import shlex
from dataclasses import fields
from pathlib import Path

import pandas as pd

from head2head.errors import UserError
from head2head.files import no_formula, write_atomically
from head2head.report import formats, tables
from head2head.report.analysis import Analysis, Options, analyse
from head2head.report.runs import Experiment, load


def report(name: str, options: Options, output: Path | None = None) -> list[Path]:
    """Write an experiment's report, print its main table and what cautions it needs.

    Args:
        output: where to; experiments/NAME by default.

    Returns:
        what was written: files, and the folder of the figures.

    Raises:
        UserError: no such experiment, an option that does not fit, or a folder that cannot be written.
    """
    experiment = load(name)
    analysis = analyse(experiment, options)
    folder = output or experiment.folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files = write(analysis, folder)
        from head2head.report import page  # draws: only once it is clear that there is something to draw

        files += page.write(experiment, analysis, folder, command(analysis))
    except OSError as error:
        raise UserError(f"{folder}: cannot be written: {error.strerror}") from None
    formats.show(tables.scores(analysis))
    for caution in analysis.cautions:
        print(f"- {caution}")
    for file in files:
        print(file)
    return files


def write(analysis: Analysis, folder: Path) -> list[Path]:
    """Write table.md, table.tex, table.csv, comparisons.csv, metrics.csv and, where asked for, examples.csv."""
    texts = {
        "table.md": markdown(analysis),
        "table.tex": latex(analysis),
        "table.csv": csv(tidy(analysis)),
        "comparisons.csv": csv(analysis.comparisons),
        "metrics.csv": csv(metrics(analysis.experiment)),
    }
    if analysis.examples is not None:
        texts["examples.csv"] = csv(analysis.examples)
    for name, text in texts.items():
        write_atomically(folder / name, text)
    return [folder / name for name in texts]


def markdown(analysis: Analysis) -> str:
    """table.md."""
    parts = [
        f"# {analysis.experiment.name}",
        f"Made by `{command(analysis)}`.",
        formats.markdown(tables.scores(analysis)),
    ]
    if len(analysis.comparisons):
        parts += ["## Differences", formats.markdown(tables.comparisons(analysis))]
    for over in analysis.ranks:
        if (ranked := tables.ranks(over, analysis.options.alpha)) is not None:
            parts += [f"## {over.kind.capitalize()} heads over tasks", formats.markdown(ranked)]
    if (by_example := tables.examples(analysis)) is not None:
        parts += ["## By example", formats.markdown(by_example)]
    if analysis.cautions:
        parts += ["## What these runs can and cannot show", _list(analysis.cautions)]
    if (published := tables.published(analysis)) is not None:
        parts += ["## Published scores", formats.markdown(published)]
    parts += ["## Runs", _list(analysis.footnotes)]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def latex(analysis: Analysis) -> str:
    """table.tex: the tables of scores, differences and published scores."""
    name = analysis.experiment.name
    made = [formats.latex(tables.scores(analysis), f"{name}-scores")]
    if len(analysis.comparisons):
        made.append(formats.latex(tables.comparisons(analysis), f"{name}-differences"))
    if (published := tables.published(analysis)) is not None:
        made.append(formats.latex(published, f"{name}-published"))
    return f"% Made by `{command(analysis)}`. Needs \\usepackage{{booktabs}}.\n" + "\n".join(made)


def tidy(analysis: Analysis) -> pd.DataFrame:
    """table.csv: a row a task and head, with its comparison with the task's reference."""
    of_reference = analysis.comparisons["reference"] == analysis.comparisons["task"].map(analysis.references)
    compared = analysis.comparisons[of_reference].rename(
        columns={"n": "n_pairs", "ci_low": "difference_ci_low", "ci_high": "difference_ci_high"}
    )
    ranks = {head: rank for over in analysis.ranks for head, rank in over.mean_ranks.items()}
    joined = analysis.cells.merge(compared, on=["task", "head"], how="left")
    return joined.assign(mean_rank=joined["head"].map(ranks))


def metrics(experiment: Experiment) -> pd.DataFrame:
    """metrics.csv: every metric of every run's last epoch, on every split."""
    rows = [
        (task, head, result.seed, split, metric, value, result.baseline.get(split, {}).get(metric))
        for result, task, head in zip(experiment.results, experiment.labels.tasks, experiment.labels.heads, strict=True)
        for split, values in result.metrics.get("last", {}).items()
        for metric, value in values.items()
    ]
    return pd.DataFrame(rows, columns="task head seed split metric value baseline".split())


def csv(table: pd.DataFrame) -> str:
    """Numbers with ten digits: enough for all that follows from them. Names that users have chosen are no formulas."""
    words = table.select_dtypes(exclude="number").map(lambda cell: no_formula(cell) if isinstance(cell, str) else cell)
    table = table.assign(**words).rename(columns=no_formula)
    return str(table.to_csv(index=False, float_format="%.10g", lineterminator="\n"))


def command(analysis: Analysis) -> str:
    """The command that makes the report, with what is not the default."""
    words = ["head2head", "report", analysis.experiment.name]
    for option in fields(Options):
        value = getattr(analysis.options, option.name)
        if value != option.default:
            flag = f"--{option.name.replace('_', '-')}"
            words += [flag] if value is True else [flag, f"{value:g}" if isinstance(value, float) else value]
    return shlex.join(words)


def _list(sentences: list[str]) -> str:
    return "\n".join(f"- {formats.escape_markdown(sentence)}" for sentence in sentences)
