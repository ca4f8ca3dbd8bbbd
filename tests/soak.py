"""Runs and sweeps that are killed, over and over, at random moments and inside of writes; each must come to what the
one came to that was never killed, bit for bit. By hand: `python tests/soak.py --kills 200 --inside 50`; a short one is
a test.

A campaign is one run, or one sweep with two workers, that is started until it is finished; the first few starts are
killed. `soak.c`, preloaded, kills a process half way through a write, or before a file is moved into place; the others
are killed from here, at a moment drawn from the time that the one needed which was never killed.

The one never killed is started by a command; those that are killed are forked off a process that has imported all they
need, which is most of what a start costs. A sweep's workers are two sweeps side by side, which deal out the runs by
their claims, and now and then two of joblib's.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import yaml

from forked import SERVER

ROOT = Path(__file__).resolve().parents[1]
RUN = ["encoder=random-tiny", "task.rows.train=256", "task.rows.validation=64", "batch_size=16", "trainer.max_epochs=3",
       "checkpoint_minutes=1e-9", "threads=1", "seed=3", "trainer.accelerator=cpu", "trainer.log_every_n_steps=1",
       "trainer.enable_progress_bar=false"]  # fmt: skip
SWEPT = {
    "task": {"value": "majority"}, "head": {"values": ["mean", "max"]}, "seed": {"values": [0, 1]},
    "task.rows.train": {"value": 128}, "task.rows.validation": {"value": 64}, "batch_size": {"value": 16},
    "encoder": {"value": "random-tiny"}, "trainer.max_epochs": {"value": 2}, "trainer.accelerator": {"value": "cpu"},
    "threads": {"value": 1}, "save_model": {"value": True},
}  # fmt: skip
SWEEP, JOBLIB = ["experiment=soak"], ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
KEPT = ("task", "head", "seed", "score", "metrics", "curve", "collapsed", "baseline", "steps", "tokens", "data")
DISTURBED = 8  # starts of a campaign that are killed; the next one is left alone
SELDOM = 6  # one sweep in so many has joblib's workers, which import all they need anew
KINDS = ("run", "sweep")
LOST = "the process ended by itself, with an error"


@dataclass
class Soak:
    """A place to soak in.

    kills, inside: so far; the latter of them inside of a write.
    """

    place: Path
    draw: random.Random
    one_in: int = 40
    disturbed: int = DISTURBED
    kills: int = 0
    inside: int = 0
    campaigns: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    _library: Path | None = None
    _compiled: Path | None = None

    def library(self) -> Path:
        """soak.c, compiled."""
        if self._library is None:
            self._library = self.place / "soak.so"
            source = Path(__file__).with_name("soak.c")
            subprocess.run(["cc", "-O2", "-shared", "-fPIC", str(source), "-o", str(self._library), "-ldl"], check=True)
        return self._library

    def start(self, kind: str, area: Path, inside: bool = False, joblib: bool = False) -> Started:
        """The run or the sweep of a campaign, in a session of its own."""
        # soak.c comes with the process that all are forked off, and does nothing where no area is named.
        os.environ |= {"LD_PRELOAD": str(self.library()), "OMP_NUM_THREADS": "1"}
        environment = os.environ | {"HEAD2HEAD_CACHE": str(area / "cache")}
        if inside:
            trigger = area / "trigger"
            trigger.touch()
            environment |= {
                "SOAK_AREA": f"{area}/", "SOAK_TRIGGER": str(trigger), "SOAK_ONE_IN": str(self.one_in),
                "SOAK_LOG": str(self.log),
            }  # fmt: skip
        if kind == "run":
            return Started("train", RUN, area, environment)
        if joblib:
            return Started("sweep", [*SWEEP, *JOBLIB], area, environment)
        return Started("two_sweeps", SWEEP, area, environment)

    @property
    def log(self) -> Path:
        """What died inside of which write."""
        return self.place / "inside.log"

    def logged(self) -> int:
        return len(self.log.read_text().splitlines()) if self.log.exists() else 0

    def new(self, name: str) -> Path:
        """A folder for a campaign."""
        area = self.place / name
        (area / "experiments/soak").mkdir(parents=True)
        content = {"program": "train.py", "method": "grid", "metric": {"name": "score", "goal": "maximize"},
                   "parameters": SWEPT,
                   "command": ["${env}", "${interpreter}", "${program}", "${args_no_hyphens}"]}  # fmt: skip
        (area / "experiments/soak/sweep.yaml").write_text(yaml.safe_dump(content))
        return area

    def give_compiled(self, area: Path) -> None:
        """Give a campaign the compiled layers of the user's cache: to compile them takes longer than all the rest.
        Where they cannot be had, no campaign has them: the arithmetic would be another."""
        if self._compiled is None:
            code = "from head2head.speed.cpu import library; print(library.why_not() or library.folder())"
            done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
            self._compiled = Path(done.stdout.strip())
            if not self._compiled.is_dir():
                os.environ["CC"] = "false"
                print(f"without compiled layers: {self._compiled}", flush=True)
        if self._compiled.is_dir():
            shutil.copytree(self._compiled, area / "cache/compiled", ignore=shutil.ignore_patterns("tmp*"))

    def undisturbed(self, kind: str) -> tuple[dict, float]:
        """What comes of a campaign that nobody kills, and its seconds."""
        area, forked = self.new(f"{kind}-undisturbed"), self.new(f"{kind}-undisturbed-forked")
        self.give_compiled(area)
        command = ["train.py", *RUN] if kind == "run" else ["sweep.py", *SWEEP, *JOBLIB]
        environment = os.environ | {"HEAD2HEAD_CACHE": str(area / "cache"), "OMP_NUM_THREADS": "1"}
        subprocess.run([sys.executable, ROOT / command[0], *command[1:]], cwd=area, env=environment, check=True)
        self.give_compiled(forked)
        started = time.monotonic()
        assert self.start(kind, forked).wait() == 0, (forked / "said").read_text()
        assert outcome(forked) == outcome(area)
        return outcome(area), time.monotonic() - started

    def campaign(self, kind: str, expected: dict, seconds: float, inside: bool) -> None:
        """Kill a few times, let it finish, and compare."""
        number = self.campaigns[kind]
        self.campaigns[kind] += 1
        area = self.new(f"{kind}-{number}")
        self.give_compiled(area)
        joblib = number % SELDOM == 2
        for _ in range(self.disturbed):
            if self.launch(kind, area, seconds, inside, joblib):
                break
        else:
            if self.start(kind, area).wait() != 0:
                self.wrong.append(f"{area}: {LOST}: {(area / 'said').read_text().strip().splitlines()[-1:]}")
        if not folders(area):
            self.wrong.append(f"{area}: does not come to an end")
        found = outcome(area)
        if found != expected:
            self.wrong.append(f"{area}: not what the undisturbed one came to: {differences(found, expected)}")
        self.wrong += [f"{area}: {text}" for text in left_over(area)]

    def launch(self, kind: str, area: Path, seconds: float, inside: bool, joblib: bool) -> bool:
        """Start once, and kill. Returns whether the campaign is over."""
        before, finished = self.logged(), folders(area)
        process = self.start(kind, area, inside, joblib)
        if inside:
            status = process.wait(timeout=1800)
        else:
            status = process.wait(timeout=self.draw.uniform(0, seconds))
            if status is None:
                victims = tree(process)
                victim = self.draw.choice(victims)  # a worker, the launcher's process, or the sweep itself
                kill(victim)
                self.kills += 1
                if victim.pid == process.pid:
                    status = process.wait()
                    end_session(process)
                else:
                    status = process.wait(timeout=1800)
        died = self.logged() - before
        self.kills += died
        self.inside += died
        end_session(process)
        for folder, moment in finished.items():
            if folders(area).get(folder) != moment:
                self.wrong.append(f"{area}: {folder} was done again or lost")
        if status not in (0, -signal.SIGKILL):
            self.wrong.append(f"{area}: {LOST}: {(area / 'said').read_text().strip().splitlines()[-1:]}")
            return True
        return status == 0 or (kind == "run" and bool(folders(area)))


def outcome(area: Path) -> dict:
    """All that came out of a campaign: results by key, and the bytes of weights and predictions by folder."""
    file = area / "experiments/soak/results.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    results = [json.loads(line) for line in lines]
    results += [json.loads((area / folder / "result.json").read_text()) for folder in folders(area)]
    told = {(r["key"], i >= len(lines)): [r[name] for name in KEPT] for i, r in enumerate(results)}
    files = {
        f"{folder}/{path.name}": path.read_bytes()
        for folder in folders(area)
        for path in sorted((area / folder).iterdir())
        if path.suffix in (".safetensors", ".parquet")
    }
    return {"results": told, "lines": len(lines), "files": files}


def folders(area: Path) -> dict[str, int]:
    """Run folders with a result, and when it was written."""
    found = sorted((area / "lightning_logs").glob("*/*/*/result.json"))
    return {str(path.parent.relative_to(area)): path.stat().st_mtime_ns for path in found}


def differences(found: dict, expected: dict) -> str:
    return ", ".join(
        f"{part} {sorted(map(str, set(found[part]) ^ set(expected[part])))}"
        f" {[str(k) for k in set(found[part]) & set(expected[part]) if found[part][k] != expected[part][k]]}"
        for part in ("results", "files")
    )[:500]


def left_over(area: Path) -> list[str]:
    """What a finished campaign should not hold: run folders without a result, and damaged files."""
    said = [
        f"{path}: no result"
        for path in (area / "lightning_logs").glob("[!.]*/*/[!.]*/")
        if not (path / "result.json").exists()
    ]
    for path in [*area.rglob("*.json"), *area.rglob("results.jsonl")]:
        try:
            for line in path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]:
                json.loads(line)
        except ValueError:
            if "cache" not in path.parts:
                said.append(f"{path}: damaged")
    return said


class Started:
    """A verb at work, or two sweeps side by side, in a session of its own; what it prints goes to the area's `said`."""

    def __init__(self, verb: str, arguments: Sequence[str], area: Path, environment: dict[str, str]):
        self._process = SERVER.Process(target=_work, args=(verb, [*arguments], str(area), environment))
        self._process.start()
        self.pid = self._process.pid

    def wait(self, timeout: float | None = None) -> int | None:
        """Its status; None where it still works."""
        self._process.join(timeout)
        return self._process.exitcode


def _work(verb: str, arguments: list[str], area: str, environment: dict[str, str]) -> None:
    os.setsid()
    os.chdir(area)
    os.environ.clear()
    os.environ.update(environment)
    said = os.open("said", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(said, stream)
    sys.modules["__main__"].__spec__ = None  # as of a script
    from head2head.cli import hydra_command_line

    if verb == "two_sweeps":
        second = os.fork()
        status = _ended(lambda: hydra_command_line.sweep(arguments))
        if second == 0:
            os._exit(status)
        other = os.waitstatus_to_exitcode(os.waitpid(second, 0)[1])
        sys.exit(status or (other if other != -signal.SIGKILL else 0))
    getattr(hydra_command_line, verb)(arguments)


def _ended(work: Callable[[], None]) -> int:
    """The status with which a command ends."""
    try:
        work()
    except SystemExit as stop:
        return int(stop.code or 0)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def tree(process: Started) -> list[psutil.Process]:
    try:
        root = psutil.Process(process.pid)
        return [root, *(child for child in root.children(recursive=True) if "python" in child.name())]
    except psutil.NoSuchProcess:
        return []


def kill(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.kill()


def end_session(process: Started) -> None:
    """Kill what is left of a campaign's own session."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def soak(
    place: Path, kills: int, inside: int, seed: int = 0, minutes: float = 120,
    kinds: Sequence[str] = KINDS, disturbed: int = DISTURBED,
) -> Soak:  # fmt: skip
    """Soak until there were that many kills, so many of them inside of writes, or the time is over."""
    state = Soak(place, random.Random(seed), disturbed=disturbed)
    undisturbed = {kind: state.undisturbed(kind) for kind in kinds}
    end = time.monotonic() + 60 * minutes
    while (state.kills < kills or state.inside < inside) and time.monotonic() < end and not state.wrong:
        kind = kinds[sum(state.campaigns.values()) % len(kinds)]
        state.campaign(kind, *undisturbed[kind], inside=state.inside < inside or state.draw.random() < 0.5)
        told = f"{state.kills} kills, {state.inside} inside of writes; campaigns: {dict(state.campaigns)}"
        print(f"{time.strftime('%H:%M:%S')} {told}; wrong: {state.wrong}", flush=True)
    return state


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("kills", 200), ("inside", 50), ("seed", 0), ("minutes", 120), ("disturbed", DISTURBED)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS)
    options = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="soak"))
    state = soak(place, options.kills, options.inside, options.seed, options.minutes, options.kinds, options.disturbed)
    kinds = Counter(line.split()[0] for line in state.log.read_text().splitlines())
    names = Counter(Path(line.split()[2]).name.split(".")[-1] for line in state.log.read_text().splitlines())
    print(f"inside: {dict(kinds)}; files by ending: {names.most_common(12)}")
    if state.wrong:  # what has to be looked at
        sys.exit(f"left in {place}")
    shutil.rmtree(place)


if __name__ == "__main__":
    main()
