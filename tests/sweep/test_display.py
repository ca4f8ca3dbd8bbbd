"""What a sweep says of its progress: times that come from finished runs of the same kind."""

from dataclasses import replace
from pathlib import Path

import pytest

from composed import compose
from head2head.run.result import Result
from head2head.sweep import display
from head2head.sweep.display import Display, State
from head2head.sweep.file import SweepFile
from head2head.sweep.job import portable
from head2head.sweep.plan import Planner

SETTINGS = ["task=majority", "encoder=random-tiny", "trainer.max_epochs=2"]


@pytest.fixture(scope="module")
def runs(composer):
    """Three quick runs and three slow ones."""
    file = SweepFile(Path("x/sweep.yaml"), "x", "grid", {})
    rows = [{"head": head, "seed": seed} for seed in range(3) for head in ("mean", "attention")]
    return Planner(file, {}, SETTINGS, compose=composer).runs(rows)


def finished(run, seconds):
    result = Result(
        key=run.key, overrides=list(run.overrides), config=compose(run.overrides), task="majority",
        head=run.identity.head, seed=run.identity.seed, metric="accuracy", split="validation", score=0.5,
        seconds={"total": seconds},
    )  # fmt: skip
    return portable(result, run.identity)


@pytest.fixture
def clock(monkeypatch):
    """Sets the time since the start."""
    now = [0.0]
    monkeypatch.setattr(display.time, "monotonic", lambda: now[0])

    def set_to(seconds):
        now[0] = seconds

    return set_to


def test_nothing_is_said_of_time_before_a_run_of_the_same_kind_has_finished(runs, clock, capsys):
    clock(0)
    shown, mean, attention = Display("x"), runs[0::2], runs[1::2]
    shown.show(State([], [mean[0]], [*mean[1:], *attention]))
    clock(10)
    shown.show(State([finished(mean[0], 10)], [], [*mean[1:], *attention]))
    clock(40)
    shown.show(State([finished(mean[0], 10), finished(attention[0], 30)], [], [*mean[1:], *attention[1:]]))
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith("10 s elapsed, about 20 s for 2 of 5 runs to go")
    assert second.endswith("40 s elapsed, about 1 min 20 s to go")
    clock(45)
    alone = Display("x")
    alone.show(State([finished(mean[0], 10)], [], attention))
    assert alone.times(State([finished(mean[0], 10)], [], attention)) == "0 s elapsed"


def test_the_estimate_counts_workers_and_what_is_done_of_runs_under_way(runs, clock):
    clock(0)
    shown, mean = Display("x", width=2), runs[0::2]
    results = [finished(mean[0], 60)]
    shown.show(State(results, mean[1:], []))
    clock(45)
    assert shown.to_go(State(results, mean[1:], [])) == "about 15 s to go"
    group = {run.key: "one worker" for run in mean[1:]}
    assert shown.to_go(State(results, mean[1:], [], group)) == "about 38 s to go"  # (120 - 45) / 2
    shown = Display("x", width=2)
    state = State(results, [], [*mean[1:], *mean[1:], *mean[1:]])
    shown.show(state)
    assert shown.to_go(state) == "about 3 min 0 s to go"


def test_what_finished_in_this_sweep_counts_before_what_is_older_and_failed_runs_do_not(runs, clock):
    clock(0)
    shown, mean = Display("x"), runs[0::2]
    old = finished(mean[0], 1000)
    shown.show(State([old], [], mean[1:]))
    assert shown.to_go(State([old], [], mean[1:])) == "about 33 min 20 s to go"
    failed = replace(finished(mean[1], 1), failed="no", score=None)
    shown.show(State([old, failed], [], mean[2:]))
    assert shown.to_go(State([old, failed], [], mean[2:])) == "about 16 min 40 s to go"
    new = [old, finished(mean[2], 7)]
    shown.show(State(new, [], mean[1:2]))
    shown.show(State(new, [], mean[1:2]))
    assert shown.to_go(State(new, [], mean[1:2])) == "about 7 s to go"


def test_a_file_hears_of_a_sweep_once_a_minute_at_least(runs, clock, capsys):
    clock(0)
    shown, mean = Display("x"), runs[0::2]
    for second in range(0, 200, 5):
        clock(second)
        shown.show(State([], mean[:1], mean[1:]))
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f"[0/3] 1 running · {told} elapsed" for told in ("1 min 0 s", "2 min 0 s", "3 min 0 s")]
