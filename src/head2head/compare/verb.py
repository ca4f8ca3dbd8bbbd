"""`head2head compare` from what was typed to the last line."""

from __future__ import annotations

import contextlib
import math
import shlex
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from head2head.compare import record
from head2head.compare.answer import Answer, answer, margin_words
from head2head.compare.board import Board
from head2head.compare.experiment import Experiment, build, name_of
from head2head.compare.question import parse
from head2head.compare.race import Clock, Ended, run
from head2head.compare.runners import InProcess, Runner, Workers
from head2head.compare.standing import rows
from head2head.errors import UserError
from head2head.run.canonical import NOT_IN_KEY
from head2head.sweep.batch import Launch
from head2head.sweep.display import duration
from head2head.sweep.plan import find
from head2head.sweep.request import Request
from head2head.sweep.run import check_writable, retry

COMPARED = "HEAD2HEAD_COMPARED"  # environment: what was typed after compare, as JSON, for the sweeper plugin


def show_plan(experiment: Experiment) -> None:
    """Print what the race could cost, and start nothing."""
    results, design = experiment.results.read(), experiment.design
    runs = list(experiment.planned.values())
    done = sum(run.key in results or find(run) is not None for run in runs)
    for head, settings in experiment.settings.items():
        print(f"{head}: {', '.join(settings) or 'one setting'}")
    print(
        f"{experiment.name}: at most {design.runs} runs in {design.rounds} rounds ({design.folds} folds x "
        f"{design.repeats} repeats), {done} of them there already; the race may end after any round"
    )


def in_this_process(experiment: Experiment) -> None:
    """Race here, without a launcher.

    Raises:
        UserError: something that the user can put right.
    """
    folder = log_folder(experiment)
    with board_of(experiment) as board:
        conclude(experiment, start(experiment, InProcess(experiment, folder / "log.txt", board.show), board))


def by_launcher(arguments: Sequence[str], launch: Launch, width: int, log: Path, identifier: str) -> None:
    """Race by a launcher's workers.

    Raises:
        UserError: something that the user can put right.
    """
    experiment = build(parse(arguments))
    with board_of(experiment, width) as board:
        runner = Workers(experiment, launch, width, log, identifier, board)
        conclude(experiment, start(experiment, runner, board))


def board_of(experiment: Experiment, width: int = 1) -> Board:
    """The display of a race, whose clock goes on from where an earlier start has left it."""
    clock = Clock(record.seconds_before(experiment))
    return Board(experiment.name, experiment.design, clock, experiment.question.budget.seconds, width=width)


def log_folder(experiment: Experiment) -> Path:
    """A new folder for what the runs print.

    Raises:
        UserError: it cannot be made.
    """
    started = f"{time.strftime('%Y%m%d-%H%M%S')}"
    folder = Path(experiment.output_dir, ".sweeps", experiment.name, started).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"output_dir: {folder} cannot be written: {error.strerror}") from None
    return folder


def start(experiment: Experiment, runner: Runner, board: Board) -> Ended:
    """Begin a race, or go on with it.

    Raises:
        UserError: see `race.run`.
    """
    experiment.write()
    request = Request(experiment.name, retry=experiment.question.retry)
    check_writable(request, experiment.output_dir)
    retry(request, list(experiment.planned.values()))
    design = experiment.design
    print(
        f"{experiment.name}: {len(design.settings)} heads, at most {design.runs} runs in {design.rounds} rounds; a "
        f"head is dropped when it cannot be better by more than {margin_words(design.margin)}; until the third round, "
        f"runs are taken to spread by {margin_words(design.run_spread)} (run_spread={design.run_spread:g})",
        flush=True,
    )
    return run(experiment, runner, board, board.clock)


def conclude(experiment: Experiment, ended: Ended) -> None:
    """The last lines: the answer, where the report is, and how the winner is trained on all rows.

    Raises:
        UserError: no head has a score.
    """
    course, design = ended.course, experiment.design
    found = rows(course, design)
    told = answer(course, found, design, ended.training_rows, baseline(experiment), ended.why)
    record.write(experiment, course, ended.seconds, str(told))
    print(f"\n{told}\n", flush=True)
    written = ", ".join(str(file) for file in report(experiment))
    print(f"{course.runs} runs in {duration(ended.seconds)}; {written}")
    if told.head is None:
        raise UserError(f"no answer; what the runs said: {experiment.output_dir}/.sweeps/{experiment.name}")
    print(f"to train {told.head} on all rows: {train_command(experiment, told, ended)}", flush=True)


def report(experiment: Experiment) -> list[Path]:
    """Write the experiment's report, without what it prints."""
    from head2head.report.report import report as write_report

    written = [experiment.folder / record.FILE]
    if not experiment.results.read():
        return written
    try:
        shown = experiment.output_dir / ".sweeps" / experiment.name / "report.txt"
        with shown.open("w", encoding="utf-8") as file, contextlib.redirect_stdout(file):
            files = write_report(experiment.name, {"margin": experiment.question.margin})
    except UserError as error:
        print(f"no report: {error}", file=sys.stderr)
        return written
    return [*(file for file in files if file.suffix == ".html"), *written]


def baseline(experiment: Experiment) -> float:
    """Mean score of the best constant prediction over the folds that have been run; minus infinity if none has."""
    results = [result for result in experiment.results.read().values() if result.failed is None]
    found = [result.baseline[result.split][result.metric] for result in results if result.split in result.baseline]
    return sum(found) / len(found) if found else -math.inf


def train_command(experiment: Experiment, told: Answer, ended: Ended) -> str:
    """What trains the winner on all rows, by the setting that most folds have chosen for it."""
    assert told.head is not None
    chosen = Counter(ended.course.chosen[told.head]).most_common(1)[0][0]
    name = experiment.names[told.head]
    planner = next(p for p in experiment.planners if name in [str(v) for v in p.parameters["head"].values])  # type: ignore[union-attr]
    words = [f"head={name}", *(text for text in planner.file.settings if name_of(text) != "folds")]
    words += experiment.settings[told.head][chosen].split()
    local = [text for text in experiment.question.overrides if name_of(text) in NOT_IN_KEY - {"plan"}]
    return shlex.join(["head2head", "train", *words, *local, *validation(experiment)])


def validation(experiment: Experiment) -> list[str]:
    """Own data without a validation file are scored on the rows that are trained on, for want of others."""
    task = experiment.question.config["task"]
    lacks = "validation" in task and task.get("train") is not None and task["validation"] is None
    return [f"task.validation={task['train']}"] if lacks else []
