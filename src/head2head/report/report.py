"""`head2head report NAME`: from an experiment's results to its tables, plots and page."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pandas as pd

from head2head.errors import UserError
from head2head.files import no_formula, write_atomically
from head2head.report import formats, predictions, tables
from head2head.report.analysis import Analysis, Options, analyse, options_of
from head2head.report.headline import headline
from head2head.report.runs import Experiment, load


def report(name: str, given: Mapping[str, Any], output: Path | None = None) -> list[Path]:
    """Write an experiment's report, print its main table, what it says, and what cautions it needs.

    Args:
        given: fields of `Options`; what is None or missing is that of the experiment's report.yaml, else the default.
        output: where to; experiments/NAME by default.

    Returns:
        what was written: files, and the folder of the figures.

    Raises:
        UserError: no such experiment, an option that does not fit, or a folder that cannot be written.
    """
    experiment = load(name)
    options = options_of(experiment.folder, given)
    analysis = analyse(experiment, options)
    made_by = command(name, options, options_of(experiment.folder, {}))
    folder = output or experiment.folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files = write(analysis, folder, made_by)
        from head2head.report import page  # draws: only once it is clear that there is something to draw

        files += page.write(experiment, analysis, folder, made_by)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written: {error.strerror}") from None
    formats.show(tables.scores(analysis))
    for sentence in headline(analysis):
        print(sentence)
    for caution in analysis.cautions:
        print(f"- {caution}")
    for file in files:
        print(file)
    return files


def write(analysis: Analysis, folder: Path, made_by: str) -> list[Path]:
    """Write table.md, table.tex, table.csv, comparisons.csv, metrics.csv, and predictions.parquet where there are any.

    Args:
        made_by: the command, as the files say.
    """
    predictions.write(analysis.predictions, folder / predictions.FILE)
    texts = {
        "table.md": markdown(analysis, made_by),
        "table.tex": latex(analysis, made_by),
        "table.csv": csv(tidy(analysis)),
        "comparisons.csv": csv(analysis.comparisons),
        "metrics.csv": csv(metrics(analysis.experiment)),
    }
    for name, text in texts.items():
        write_atomically(folder / name, text)
    return [folder / name for name in texts] + [folder / predictions.FILE] * bool(analysis.predictions.tables)


def markdown(analysis: Analysis, made_by: str) -> str:
    """table.md."""
    parts = [
        f"# {analysis.experiment.name}",
        f"Made by `{made_by}`.",
        _list(headline(analysis)),
        formats.markdown(tables.scores(analysis)),
    ]
    if analysis.cautions:
        parts += ["## What these runs can and cannot show", _list(analysis.cautions)]
    for heading, made in tables.sections(analysis):
        parts += [f"## {heading}", *map(formats.markdown, made)]
    parts += ["## Runs", _list(analysis.footnotes)]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def latex(analysis: Analysis, made_by: str) -> str:
    """table.tex: all tables."""
    name = analysis.experiment.name
    made = [formats.latex(tables.scores(analysis), f"{name}-scores")]
    for heading, found in tables.sections(analysis):
        stem = f"{name}-{heading.lower().replace(' ', '-')}"
        made += [formats.latex(table, stem + (f"-{i}" if i else "")) for i, table in enumerate(found)]
    return f"% Made by `{made_by}`. Needs \\usepackage{{booktabs}}.\n" + "\n".join(made)


def tidy(analysis: Analysis) -> pd.DataFrame:
    """table.csv: a row a task and head, with its comparison with the task's reference."""
    of_reference = analysis.comparisons[analysis.comparisons["to_reference"].astype(bool)]
    compared = of_reference.drop(columns="to_reference").rename(
        columns={"n": "n_pairs", "ci_low": "difference_ci_low", "ci_high": "difference_ci_high"}
    )
    ranks = {head: rank for over in analysis.ranks for head, rank in over.mean_ranks.items()}
    joined = analysis.cells.merge(compared, on=["task", "head"], how="left")
    return joined.assign(mean_rank=joined["head"].map(ranks))


def metrics(experiment: Experiment) -> pd.DataFrame:
    """metrics.csv: every metric of every run's last epoch, on every split, also of settings that were not chosen."""
    reported = {result.key for result, *_ in experiment.scored()}
    labels = zip(
        experiment.results, experiment.labels.tasks, experiment.labels.heads, experiment.labels.tuned, strict=True
    )
    rows = [
        (task, head, " ".join(f"{name}={value}" for name, value in tuned), result.seed, result.key in reported,
         split, metric, value, result.baseline.get(split, {}).get(metric))
        for result, task, head, tuned in labels
        for split, values in result.metrics.get("last", {}).items()
        for metric, value in values.items()
    ]  # fmt: skip
    return pd.DataFrame(rows, columns="task head setting seed reported split metric value baseline".split())


def csv(table: pd.DataFrame) -> str:
    """Numbers with ten digits: enough for all that follows from them. Names that users have chosen are no formulas."""
    words = table.select_dtypes(exclude="number").map(lambda cell: no_formula(cell) if isinstance(cell, str) else cell)
    table = table.assign(**words).rename(columns=no_formula)
    return str(table.to_csv(index=False, float_format="%.10g", lineterminator="\n"))


def command(name: str, options: Options, kept: Options) -> str:
    """The command that makes a report, with what is not the experiment's own default."""
    words = ["head2head", "report", name]
    for option in fields(Options):
        value = getattr(options, option.name)
        if value == getattr(kept, option.name):
            continue
        for one in value if isinstance(value, tuple) else (value,):
            words += [f"--{option.name.replace('_', '-')}", f"{one:g}" if isinstance(one, float) else str(one)]
    return shlex.join(words)


def _list(sentences: list[str]) -> str:
    return "\n".join(f"- {formats.escape_markdown(sentence)}" for sentence in sentences)
