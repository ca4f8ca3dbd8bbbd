"""Experiments: where they lie, and their results, a line for each finished or failed run."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from filelock import FileLock

from head2head.errors import UserError, did_you_mean
from head2head.files import cannot_be_written, check_name, write_atomically
from head2head.run.result import Newer, Result, parsed

EXPERIMENTS = Path("experiments")  # in the working directory
SWEEP_FILE = "sweep.yaml"
FURTHER = "sweep-*.yaml"  # sweep files beside it: what stands in no grid with the rest
RESULTS = "results.jsonl"


def folder_of(experiment: str) -> Path:
    """An experiment's folder, whether it is there or not.

    Raises:
        UserError: the name is a path.
    """
    check_name(experiment, "experiment")
    return EXPERIMENTS / experiment


def with_file(name: str) -> list[str]:
    """Names of the experiments that have a file of that name, sorted."""
    return sorted(path.parent.name for path in EXPERIMENTS.glob(f"*/{name}"))


def sweep_file(experiment: str) -> Path:
    """The sweep file of an experiment.

    Raises:
        UserError: there is no such experiment.
    """
    path = folder_of(experiment) / SWEEP_FILE
    if not path.is_file():
        known = with_file(SWEEP_FILE)
        if not known:
            raise UserError(f"{path}: not there; experiments are looked for in ./{EXPERIMENTS / 'NAME' / SWEEP_FILE}")
        raise UserError(f"unknown experiment {experiment!r}; {did_you_mean(experiment, known)}")
    return path


def sweep_files(experiment: str) -> list[Path]:
    """All sweep files of an experiment: sweep.yaml, then sweep-NAME.yaml by name.

    Raises:
        UserError: there is no such experiment.
    """
    first = sweep_file(experiment)
    return [first, *sorted(first.parent.glob(FURTHER))]


def results_file(experiment: str, stopped_too: bool = True) -> ResultsFile:
    """The results of an experiment.

    Args:
        stopped_too: whether runs that were stopped early are among them.
    """
    return ResultsFile(folder_of(experiment) / RESULTS, stopped_too)


class ResultsFile:
    """results.jsonl of an experiment. Several processes, on several machines, may write it.

    A line holds the fields of result.json, without those settings that say only where files lie.
    Of several results of one run the best counts: finished before stopped early before failed.

    Args:
        stopped_too: whether `read` gives the runs that were stopped early.
    """

    def __init__(self, path: Path, stopped_too: bool = True):
        self.path, self.stopped_too = path, stopped_too
        self._seen: tuple[int, int, int] | None = None
        # A worker reads and writes the file after each run: of thousands of lines it parses and prints the new ones.
        self._results: dict[str, Result] = {}
        self._lines: dict[str, bytes] = {}

    def read(self) -> dict[str, Result]:
        """Key -> result. Of two equally good lines with one key the later counts.

        Raises:
            UserError: a line that is no result.
        """
        return {key: r for key, r in self._all().items() if self.stopped_too or r.stopped is None}

    def _all(self) -> dict[str, Result]:
        try:
            stat = self.path.stat()
        except FileNotFoundError:
            return {}
        seen = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        if seen != self._seen:
            self._results, self._lines = self._parsed()
            self._seen = seen
        return self._results

    def _parsed(self) -> tuple[dict[str, Result], dict[str, bytes]]:
        """Results and their lines, by key."""
        before = {line: self._results[key] for key, line in self._lines.items()}
        found: dict[str, Result] = {}
        lines: dict[str, bytes] = {}
        for number, line in enumerate(self.path.read_bytes().split(b"\n"), start=1):
            text = line.strip()
            if not text:
                continue
            try:
                result = before.get(text) or parsed(text)
            except Newer as error:
                raise UserError(f"{self.path}:{number}: {error}") from None
            except (ValueError, TypeError, RecursionError, UserError) as error:  # ValueError: neither JSON nor UTF-8
                raise UserError(
                    f"{self.path}:{number}: not a result of this version of head2head: {error}; remove the line"
                ) from None
            if result.key not in found or rank(result) >= rank(found[result.key]):
                found[result.key], lines[result.key] = result, text
        return found, lines

    def add(self, *results: Result) -> None:
        """Add results, all or none. Lines are kept in order: the file does not depend on which run came first.

        Raises:
            UserError: the file cannot be written; it is then as it was.
        """
        with self.locked():
            known = self._all()
            found = dict(known)
            for result in results:
                before = found.get(result.key)
                if before is None or before.failed is not None or rank(result) > rank(before):
                    found[result.key] = result
            if found != known:
                self._write(found.values())

    def forget_failed(self, keys: Iterable[str]) -> None:
        """Take out failed runs, which are to be run again."""
        again = set(keys)
        with self.locked():
            found = self._all()
            kept = [result for result in found.values() if result.failed is None or result.key not in again]
            if len(kept) < len(found):
                self._write(kept)

    def locked(self) -> FileLock:
        """Held while the file is changed."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(self.path.with_name(f".{self.path.name}.lock"))

    def _write(self, results: Iterable[Result]) -> None:
        ordered = sorted(results, key=lambda r: (r.task, r.head, r.seed, r.key))
        try:
            write_atomically(self.path, "".join(self._line(result) + "\n" for result in ordered))
        except OSError as error:
            raise cannot_be_written(self.path, error) from error

    def _line(self, result: Result) -> str:
        """A result's line: as it stood in the file, if it did."""
        if self._results.get(result.key) is result:
            return self._lines[result.key].decode("utf-8")
        return json.dumps(asdict(result), ensure_ascii=False)


def rank(result: Result) -> int:
    """How much a result is worth: scores of a whole run, of a part of it, or none."""
    return 0 if result.failed is not None else 1 if result.stopped is not None else 2
