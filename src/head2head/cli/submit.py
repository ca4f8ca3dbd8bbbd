"""The test splits of GLUE, predicted by finished runs, in the zip file that the benchmark's server takes.

Eleven files `NAME.tsv` with the columns `index` and `prediction`, whatever was trained: where there is no run, every
row has the most frequent label of the training rows.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from head2head.cli.evaluate import chosen_task
from head2head.data.glue import Glue
from head2head.data.task import Task
from head2head.errors import UserError, did_you_mean
from head2head.files import cannot_be_written, write_atomically
from head2head.model.build import build_data, targets_of
from head2head.run.load import LoadedRun, load_run
from head2head.run.run import build_trainer, quiet
from head2head.speed import apply as speed

LOW, HIGH = 0.0, 5.0  # between which the server takes scores of STS-B


@dataclass(frozen=True)
class File:
    """One file of a submission.

    name: of the file, without .tsv.
    task: whose run predicts it.
    split: of the task that is read, "test" in most.
    rows: number of rows that the server expects, which are those of the official test split.
    labels: what stands for each label of the task; empty for values, written with three decimals.
    constant: what fills the file without a run: the most frequent label of the official training rows (of QNLI's and
        MNLI's, which are even, one of them), for STS-B their mean.
    data: the task that the rows are read from, where it is not the run's.
    """

    name: str
    task: str
    rows: int
    labels: tuple[str, ...]
    constant: str
    split: str = "test"
    data: str | None = None


NUMBERS = ("0", "1")
INFERENCE = ("entailment", "neutral", "contradiction")
ENTAILMENT = ("entailment", "not_entailment")
FILES = (
    File("CoLA", "cola", 1063, NUMBERS, "1"),
    File("SST-2", "sst2", 1821, NUMBERS, "1"),
    File("MRPC", "mrpc", 1725, NUMBERS, "1"),
    File("STS-B", "stsb", 1379, (), "2.701"),
    File("QQP", "qqp", 390965, NUMBERS, "0"),
    File("MNLI-m", "mnli", 9796, INFERENCE, "contradiction", "test_matched"),
    File("MNLI-mm", "mnli", 9847, INFERENCE, "contradiction", "test_mismatched"),
    File("QNLI", "qnli", 5463, ENTAILMENT, "entailment"),
    File("RTE", "rte", 3000, ENTAILMENT, "entailment"),
    File("WNLI", "wnli", 146, NUMBERS, "0"),
    File("AX", "mnli", 1104, INFERENCE, "contradiction", data="ax"),
)
TASKS = tuple(dict.fromkeys(file.task for file in FILES))


def submit(
    runs: Sequence[Path], output: Path, data_dir: Path | None = None, trust: Sequence[str] = ()
) -> dict[str, Path | None]:
    """Predict the test splits and write the zip file.

    Args:
        runs: folders of finished runs on tasks of GLUE, at most one a task; MNLI's predicts the diagnostic set, too.
        data_dir: where the data lie, if not where the runs found them.
        trust: packages with classes of the user's own that the runs' configurations may name.

    Returns:
        File -> the run that has predicted it; None for those filled with a constant.

    Raises:
        UserError: no finished run, two of one task, one of another benchmark, or test data that are not there or not
            the official ones.
    """
    quiet()
    if output.suffix != ".zip":
        raise UserError(f"--out {output}: the server takes a zip file; give a name that ends in .zip")
    written: dict[str, list[str]] = {}
    by: dict[str, LoadedRun] = {}
    loaded = sorted_out([load_run(run, trust) for run in runs])
    for task, run in loaded.items():
        found = predicted(run, [file for file in FILES if file.task == task], data_dir)
        written |= found
        by |= dict.fromkeys(found, run)
    lines = [told(file, by.get(file.name), file.task in loaded) for file in FILES]
    content = zipped({file.name: written.get(file.name, [file.constant] * file.rows) for file in FILES})
    try:
        write_atomically(output, content)
    except OSError as error:
        raise cannot_be_written(output, error) from None
    print("\n".join([*lines, f"{output}: {len(by)} of {len(FILES)} files predicted by {len(loaded)} runs"]))
    return {file.name: by[file.name].folder if file.name in by else None for file in FILES}


def sorted_out(runs: Sequence[LoadedRun]) -> dict[str, LoadedRun]:
    """Task -> its run.

    Raises:
        UserError: a run of no task of GLUE, or two of one.
    """
    found: dict[str, LoadedRun] = {}
    for run in runs:
        name = run.result.task
        if name not in TASKS or not isinstance(run.task, Glue):
            raise UserError(
                f"{run.folder}: task {name} has no part in a submission to GLUE; {did_you_mean(name, TASKS)}"
            )
        if name in found:
            raise UserError(f"{run.folder}: {found[name].folder} is a run on {name}, too; give one of them")
        found[name] = run
    return found


def told(file: File, run: LoadedRun | None, has_run: bool) -> str:
    """One line of what a file is made of.

    Args:
        run: that has predicted it.
        has_run: there is a run on its task, whether or not the rows to predict were there.
    """
    if run is None:
        what = "the mean" if not file.labels else "the majority class"
        why = "its test data are not there" if has_run else "no run"
        return f"{file.name}.tsv: {why}; filled with {what} of the training rows, {file.constant}"
    return f"{file.name}.tsv: {run.result.task} · {run.result.head} · seed {run.result.seed} · {run.folder}"


def predicted(run: LoadedRun, files: Sequence[File], data_dir: Path | None) -> dict[str, list[str]]:
    """File -> its column of predictions. The diagnostic set is left out where its file is not there: it is not part of
    the download of each task.

    Raises:
        UserError: the other test data are not there, or have another number of rows than the server expects.
    """
    config = run.config
    trainer = build_trainer(config["trainer"] | {"devices": 1, "num_nodes": 1, "strategy": "auto"})
    # The arithmetic of the run itself.
    fast = config["speed"] == "fast"
    speed.apply(run.model.encoder, trainer.strategy.root_device, trainer.precision, fast=fast)
    found: dict[str, list[str]] = {}
    for file in files:
        task = chosen_task(config, run.task, None, file.data, data_dir)
        source = task.sources()[file.split]
        if file.data is not None and isinstance(source, Path) and not source.is_file():
            continue
        data = build_data(config, task, config["seed"], [file.split])
        count = data.splits[file.split].num_predictions
        if count != file.rows:
            raise UserError(f"{source}: {count:,} rows, and the server expects {file.rows:,} in {file.name}.tsv")
        run.model.metrics, run.model.targets = list(task.metrics), targets_of(data, [file.split])
        trainer.validate(run.model, dataloaders=data.evaluation_dataloader(file.split), verbose=False)
        found[file.name] = column(run.model.predictions(file.split), file, task)
    return found


def column(predictions: np.ndarray, file: File, task: Task) -> list[str]:
    """Predictions (N,), numbers of labels or values, as the server wants them."""
    if not file.labels:
        return [f"{value:.3f}" for value in np.clip(predictions.astype(float), LOW, HIGH)]
    names = file.labels if file.labels == NUMBERS else task.labels  # these tasks' files write the label's number
    return [names[number] for number in predictions]


def zipped(columns: dict[str, list[str]]) -> bytes:
    """A zip file of NAME.tsv, the same bytes for the same predictions."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, values in columns.items():
            rows = "".join(f"{number}\t{value}\n" for number, value in enumerate(values))
            entry = zipfile.ZipInfo(f"{name}.tsv")  # without a time
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, f"index\tprediction\n{rows}")
    return buffer.getvalue()
