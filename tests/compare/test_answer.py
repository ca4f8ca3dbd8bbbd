"""The sentences at the end of a race."""

from head2head.compare.answer import answer, round_up
from head2head.compare.standing import Row
from head2head.statistics.course import Course, Design
from head2head.statistics.race import Against

DESIGN = Design(dict.fromkeys(("mean", "max", "cls", "pooler"), 1), 5, 2, 0.01, 0.02)
COURSE = Course(["mean"], rounds=4, settings={"mean": [[0]] * 4, "pooler": [[0]]}, round_size=2)


def row(head, state, score, difference=None, low=0.0, high=0.0, examples=1e-5, run=1e-4, rounds=4):
    found = None if difference is None else Against("mean", difference, low, high, examples, run, 100.0, rounds)
    return Row(head, rounds, rounds, state, score, score - 0.021, score + 0.021, 0.5, found)


LEADER = row("mean", "leads", 0.682)
POOLER = row("pooler", "beaten", 0.651, -0.031, -0.05, -0.01)
MAX = row("max", "equal", 0.680, -0.002, -0.009, 0.008)
CLS = row("cls", "no better", 0.672, -0.01, -0.03, 0.009)


def test_a_decision_says_by_how_much_and_how_sure():
    told = answer(COURSE, [LEADER, POOLER, MAX, CLS], DESIGN, 2490)
    assert told.head == "mean"
    assert told.what == (
        "mean, 68.2 [66.1, 70.3]: 3.1 above pooler; equal to max within a point; "
        "cls (-1.0, at most +0.9) not better by a point."
    )
    assert told.how_sure == (
        "Decided after 4 of 10 rounds, by 5 of the 40 runs of the full grid: at most 5 % of such races drop a head "
        "that is better than all others by more than a point."
    )


def test_where_more_runs_would_decide_they_are_named():
    open_ = row("max", "open", 0.68, -0.002, -0.02, 0.015, examples=1e-6, run=4e-4)
    told = answer(COURSE, [LEADER, open_, POOLER], DESIGN, 2490)
    assert told.what == (
        "Not decided: mean, 68.2 [66.1, 70.3], leads, but max (0.2 below it) may be better by a point or more; "
        "3.1 above pooler."
    )
    assert told.how_sure.startswith("About ")
    assert "more rounds of 2 runs would decide it (repeats=" in told.how_sure


def test_where_no_run_can_decide_rows_are_named():
    open_ = row("max", "open", 0.68, 0.0, -0.02, 0.02, examples=1e-4)
    told = answer(COURSE, [LEADER, open_], DESIGN, 2000)
    assert told.how_sure.startswith("No number of runs can decide this: about ")
    assert "more rows would, beside the 2,000 there are" in told.how_sure
    stopped = answer(COURSE, [LEADER, open_], DESIGN, 2000, ended="budget=20m is used up")
    assert stopped.how_sure.startswith("Budget=20m is used up; no number of runs can decide this: about ")


def test_a_leader_that_is_no_better_than_a_constant_is_no_answer():
    told = answer(COURSE, [LEADER, POOLER], DESIGN, 2490, baseline=0.70)
    assert told.what.startswith(
        "No head is above the majority baseline, 70.0; mean, 68.2 [66.1, 70.3]: 3.1 above pooler"
    )


def test_numbers_of_rows_are_round():
    assert [round_up(n) for n in (7, 123, 4561)] == [7, 130, 4600]
