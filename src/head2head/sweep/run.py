"""A requested sweep from the first look to the last line."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from head2head.errors import UserError
from head2head.run.result import Result
from head2head.sweep import claims, cost
from head2head.sweep.batch import Launch
from head2head.sweep.display import Display, duration, line, listing
from head2head.sweep.driver import Driver
from head2head.sweep.plan import Planned, find
from head2head.sweep.request import Request
from head2head.sweep.search import Search


def show_plan(request: Request) -> None:
    """Print what is left, and start nothing.

    Raises:
        UserError: a run that cannot be.
    """
    search = Search(request)
    runs = search.known()
    for note in request.notes:
        print(note)
    known = request.results_file.read()

    def results_of(some: Sequence[Planned]) -> dict[str, Result]:
        found = {run.key: known.get(run.key) or find(run, search.stopped_too) for run in some}
        return {key: result for key, result in found.items() if result is not None}

    done = results_of(runs)
    while len(done) == len(runs) and (following := search.followed(done)):
        runs += following
        done |= results_of(following)
    left = [run for run in runs if run.key not in done]
    failed = sum(result.failed is not None for result in done.values())
    more = search.cap - len(runs)
    if left:
        print(listing(left))
    print(
        f"{request.experiment}: {len(done) - failed} of {search.cap} runs have results, "
        f"{failed} failed, {len(left)} left" + (f", {more} still to be chosen by bayes" if more else "")
    )
    if left:
        told = [cost.counts(left), cost.time(left, [*known.values(), *done.values()]), cost.later(search)]
        print("\n".join(line for line in [*told, *cost.detectable(request, runs)] if line))


def sweep(request: Request, launch: Launch, width: int, log: Path, identifier: str) -> None:
    """Run what is left.

    Args:
        launch: a Hydra launcher's.
        width: how many jobs it works on at a time; bayes chooses so many runs at once.
        log: file that takes what the runs print.
        identifier: of this sweep; its workers have it in their environment.

    Raises:
        UserError: a run that cannot be, in which case nothing is started, or runs have failed.
    """
    search = Search(request)
    runs = search.known()
    for note in request.notes:
        print(note, flush=True)
    check_writable(request, request.output_dir)
    retry(request, runs)
    with Display(request.experiment, width=width) as display:
        driver = Driver(
            launch,
            request.results_file,
            request.output_dir,
            search.settings_of,
            log,
            display,
            width,
            identifier,
            search.stopped_too,
        )
        driver.collect_finished(runs)
        known = request.results_file.read()
        before = {run.key for run in runs if run.key in known}
        results = driver.run(runs)
        while chosen := search.more(results, width):
            runs += chosen
            results = driver.run(runs)
    tell(request, runs, results, len(before), display)


def check_writable(request: Request, output_dir: Path) -> None:
    """Check that results can be written, before the first run and not after it.

    Raises:
        UserError: they cannot.
    """
    for place, lock in (
        (request.results_file.path, request.results_file.locked),
        (output_dir, lambda: claims.lock(claims.folder(output_dir))),
    ):
        try:
            with lock():
                pass
        except OSError as error:
            raise UserError(f"{place}: cannot be written: {error.strerror}") from None


def retry(request: Request, runs: Sequence[Planned]) -> None:
    """Take failed runs out of the results, and their notes out of the run folders, when that was asked for."""
    if not request.retry:
        return
    for run in runs:
        while (result := find(run)) is not None and result.failed is not None and result.folder is not None:
            (Path(result.folder) / "result.json").rename(Path(result.folder) / "result.failed.json")
    request.results_file.forget_failed(run.key for run in runs)  # last: another sweep would take the failure in again


def tell(
    request: Request, runs: Sequence[Planned], results: Mapping[str, Result], before: int, display: Display
) -> None:
    """The last lines: what came of the sweep, and each run that failed.

    Raises:
        UserError: there are some.
    """
    mine = [results[run.key] for run in runs]
    failed = [result for result in mine if result.failed is not None]
    now = len(runs) - before
    if now:
        counts = f"{len(mine) - len(failed)} of {len(mine)} runs finished"
        print(f"{counts}: {now} now in {duration(display.elapsed)}, {before} before; {request.results_file.path}")
    else:
        print(f"nothing to do, no run started: all {len(mine)} runs have results; {request.results_file.path}")
    print(f"the comparison: head2head report {request.experiment}", flush=True)
    if offline := sum(len(list(Path(r.folder).glob("wandb/offline-run-*"))) for r in mine if r.folder):
        place = request.output_dir / "*/*/*/wandb/offline-run-*"
        print(f"W&B: {offline} runs are offline; send them with: wandb sync {place}", flush=True)
    for result in failed:
        print(f"failed: {line(result)}" + (f" · {result.folder}" if result.folder else ""), file=sys.stderr)
    if failed:
        kinds = Counter(result.task for result in failed)
        told = ", ".join(f"{count} on {task}" for task, count in sorted(kinds.items()))
        raise UserError(f"{len(failed)} of {len(mine)} runs failed ({told}); again with: retry=true")
