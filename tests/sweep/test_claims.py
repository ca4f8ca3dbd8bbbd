"""Claims on runs: who lives is seen by its touches, whatever the clocks of machines say."""

import os
import time
from dataclasses import asdict
from pathlib import Path

import pytest

from head2head.run import processes
from head2head.sweep import claims
from head2head.sweep.claims import Claim

ELSEWHERE = {"host": "elsewhere 4026531836", "pid": 77, "born": 0.0}


@pytest.fixture
def place(tmp_path):
    return claims.folder(tmp_path)


def claimed(place: Path, ahead: float, **settings) -> Path:
    """A claim from another machine, touched by a clock that is so many seconds ahead."""
    place.mkdir(parents=True, exist_ok=True)
    claims._write(place / "key", Claim("key", "theirs", **(ELSEWHERE | settings)))
    touch(place / "key", ahead)
    return place / "key"


def touch(path: Path, ahead: float) -> None:
    moment = time.time() + ahead
    os.utime(path, (moment, moment))


def lives(path: Path) -> bool:
    return claims.alive(claims.read(path), path)


def test_one_that_was_touched_lately_lives_and_one_that_was_not_is_dead(place):
    path = claimed(place, ahead=0)
    assert lives(path)
    touch(path, -claims.STALE - 1)
    assert not lives(path)


def test_one_from_a_clock_that_is_a_day_ahead_is_dead_a_minute_after_its_last_touch(place, monkeypatch):
    monkeypatch.setattr(claims, "STALE", 0.3)
    path = claimed(place, ahead=86_400)
    for _ in range(3):  # a worker that lives goes on touching
        assert lives(path)
        time.sleep(0.15)
        touch(path, 86_400)
    assert lives(path)
    time.sleep(0.4)
    assert not lives(path)
    assert claims.take(place, "key", "mine")
    assert claims.read(path).pid == os.getpid()


def test_without_being_watched_it_would_block_for_a_day(place, monkeypatch):
    monkeypatch.setattr(claims, "STALE", 0.1)
    monkeypatch.setattr(claims, "_watched", lambda *_: True)
    path = claimed(place, ahead=86_400)
    time.sleep(0.2)
    assert lives(path)
    assert not claims.take(place, "key", "mine")


def test_a_claim_says_who_has_it_since_when(place):
    before = time.time()
    assert claims.take(place, "key", "mine")
    held = claims.read(place / "key")
    assert before <= held.since <= time.time()
    assert held.told.startswith(f"process {os.getpid()} on {processes.host().split()[0]} since 20")


def test_claims_of_an_earlier_version_are_read(place):
    path = claimed(place, ahead=0)
    assert "since" in asdict(claims.read(path))
    path.write_text(path.read_text().replace(', "since": 0.0', ""))
    assert claims.read(path).told == "process 77 on elsewhere since an unknown time (that machine's clock)"
