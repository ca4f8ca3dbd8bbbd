"""results.jsonl under several writers, and what of several results of one run counts."""

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from head2head.errors import UserError
from head2head.experiments import ResultsFile
from head2head.run import result as results
from head2head.run.result import SCHEMA, Result


def result(key, seed=0, **changed):
    settings = {"overrides": [], "config": {}, "task": "rte", "head": "mean", "metric": "accuracy", "split": "dev"}
    return Result(**({**settings, "key": key, "seed": seed, "score": 0.5} | changed))


def failed(key, why="it diverged"):
    return result(key, score=None, failed=why)


def stopped(key, score=0.4):
    return result(key, score=score, stopped="hyperband")


@pytest.fixture
def results_file(tmp_path):
    return ResultsFile(tmp_path / "mine" / "results.jsonl")


WRITER = """
import sys
from head2head.experiments import ResultsFile
from head2head.run.result import Result
from pathlib import Path

assert "torch" not in sys.modules
results_file, number = ResultsFile(Path(sys.argv[1])), int(sys.argv[2])
for i in range(25):
    results_file.add(Result(key=f"{number}-{i}", overrides=["x" * 500], config={}, task="rte", head="mean", seed=i,
                       metric="accuracy", split="dev", score=0.5))
"""


def test_several_processes_lose_nothing_and_a_reader_sees_whole_lines_only(results_file):
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(results_file.path), str(n)]) for n in range(4)]
    seen = 0
    while any(writer.poll() is None for writer in writers):
        text = results_file.path.read_text() if results_file.path.exists() else ""
        assert not text or text.endswith("\n")
        count = len([json.loads(line) for line in text.splitlines()])
        assert count >= seen
        seen = count
        assert len(results_file.read()) >= seen
    assert [writer.returncode for writer in writers] == [0] * 4
    assert set(results_file.read()) == {f"{n}-{i}" for n in range(4) for i in range(25)}
    assert not [
        path for path in results_file.path.parent.iterdir() if path.name not in ("results.jsonl", ".results.jsonl.lock")
    ]


def test_the_file_does_not_depend_on_which_run_came_first(tmp_path):
    runs = [
        result("c", seed=10), result("d", seed=9), result("b", task="cola"), result("a", head="cls"), failed("e"),
        result("f", notes=["größer", "a\u2028b"]),
    ]  # fmt: skip
    first, second, third = (ResultsFile(tmp_path / name) for name in "123")
    first.add(*runs)
    for run in reversed(runs):
        second.add(run)
    third.add(*runs[3:])
    third.add(*runs[:3])
    assert first.path.read_bytes() == second.path.read_bytes() == third.path.read_bytes()
    assert [json.loads(line)["key"] for line in first.path.read_text().split("\n")[:-1]] == [
        "b",
        "a",
        "e",
        "f",
        "d",
        "c",
    ]
    assert first.read() == {run.key: run for run in runs}


@pytest.mark.parametrize(
    ("better", "worse"),
    [(result("a"), failed("a")), (result("a"), stopped("a")), (stopped("a"), failed("a"))],
    ids=["finished, failed", "finished, stopped", "stopped, failed"],
)
def test_the_better_of_two_results_counts_whichever_comes_first(better, worse, tmp_path):
    for number, order in enumerate([(better, worse), (worse, better)]):
        results_file = ResultsFile(tmp_path / str(number))
        for run in order:
            results_file.add(run)
        assert results_file.read() == {"a": better}
        written = ResultsFile(tmp_path / f"{number}-by-hand")
        written.path.write_text("".join(line_of(run) for run in order))
        assert written.read() == {"a": better}


def line_of(run):
    return json.dumps(run.__dict__) + "\n"


def test_a_finished_run_is_not_replaced_and_a_failed_one_is_by_the_latest(results_file):
    results_file.add(result("a", score=0.1), failed("b", "first"))
    results_file.add(result("a", score=0.2), failed("b", "second"))
    assert results_file.read()["a"].score == 0.1
    assert results_file.read()["b"].failed == "second"


def test_a_reader_follows_what_others_write(results_file):
    other = ResultsFile(results_file.path)
    assert results_file.read() == {}
    other.add(result("a"))
    assert set(results_file.read()) == {"a"}
    found = results_file.read()
    found.clear()  # the caller's own
    assert set(results_file.read()) == {"a"}
    other.add(result("b"))
    assert set(results_file.read()) == {"a", "b"}
    results_file.path.unlink()
    assert results_file.read() == {}


@pytest.mark.parametrize(
    "line",
    [b"<<<<<<< HEAD", b'{"key": "a"', b"[]", b"3", b'{"key": "a"}', b'{"unknown": 1}', b'{"key": "\xff"}'],
)
def test_a_broken_line_is_found_with_its_number(line, results_file):
    results_file.add(result("a"))
    whole = results_file.path.read_bytes()
    results_file.path.write_bytes(b"\n" + whole + line + b"\n")
    for work in (results_file.read, lambda: results_file.add(result("b"))):
        with pytest.raises(UserError) as error:
            work()
        assert str(error.value).startswith(f"{results_file.path}:3: not a result of this version of head2head: ")
        assert str(error.value).endswith("; remove the line")
        assert "\n" not in str(error.value)
    assert results_file.path.read_bytes() == b"\n" + whole + line + b"\n"  # nothing is lost by it


def test_line_ends_of_other_systems_are_taken(results_file):
    results_file.add(result("a"), result("b"))
    results_file.path.write_bytes(results_file.path.read_bytes().replace(b"\n", b"\r\n"))
    assert set(results_file.read()) == {"a", "b"}


def test_failed_runs_are_forgotten_on_request_and_no_others(results_file):
    results_file.add(result("a"), failed("b"), failed("c"), stopped("d"))
    results_file.forget_failed(["a", "b", "d", "unknown"])
    assert set(results_file.read()) == {"a", "c", "d"}


def test_nothing_is_written_when_there_is_nothing_to_forget(results_file):
    results_file.forget_failed(["a"])
    assert not results_file.path.exists()
    results_file.add(result("a"))
    before = results_file.path.stat()
    results_file.forget_failed(["a"])
    assert results_file.path.stat().st_ino == before.st_ino


def test_a_run_that_was_stopped_early_is_only_given_where_that_is_wanted(tmp_path):
    path = tmp_path / "results.jsonl"
    ResultsFile(path).add(result("a", stopped="hyperband"), result("b"))
    assert set(ResultsFile(path).read()) == {"a", "b"}
    whole = ResultsFile(path, stopped_too=False)
    assert set(whole.read()) == {"b"}
    whole.add(result("c"))
    assert set(ResultsFile(path).read()) == {"a", "b", "c"}


def written_with(**changed):
    fields = asdict(result("a")) | changed
    return json.dumps({name: value for name, value in fields.items() if value is not ...})


def test_lines_from_before_there_were_schemas_are_read_and_stay_as_they_are(results_file):
    old = written_with(schema=...)
    assert "schema" not in old
    results_file.path.parent.mkdir()
    results_file.path.write_text(old + "\n")
    assert results_file.read() == {"a": result("a")}
    results_file.add(result("b"))
    assert results_file.path.read_text().splitlines()[0] == old
    assert json.loads(results_file.path.read_text().splitlines()[1])["schema"] == SCHEMA


def test_a_field_that_was_renamed_is_read_under_its_new_name(results_file, monkeypatch):
    def renamed(fields):
        return {"head" if name == "pool" else name: value for name, value in fields.items()}

    monkeypatch.setitem(results.UPGRADES, 1, renamed)
    results_file.path.parent.mkdir()
    results_file.path.write_text(written_with(schema=..., head=..., pool="max") + "\n" + written_with(key="b") + "\n")
    assert {key: r.head for key, r in results_file.read().items()} == {"a": "max", "b": "mean"}


def test_every_schema_before_this_one_has_its_reader():
    assert sorted(results.UPGRADES) == list(range(1, SCHEMA))


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        (
            SCHEMA + 1,
            f":1: written by a later version of head2head .schema {SCHEMA + 1}, .* reads up to {SCHEMA}.$",
        ),
        (0, "schema 0; remove the line"),
        ("x", "schema x; remove the line"),
    ],
)
def test_a_schema_that_is_not_known_is_refused(schema, reason, results_file, tmp_path):
    results_file.path.parent.mkdir()
    results_file.path.write_text(written_with(schema=schema) + "\n")
    with pytest.raises(UserError, match=reason):
        results_file.read()
    (tmp_path / "result.json").write_text(written_with(schema=schema))
    with pytest.raises(UserError, match="schema"):
        results.read_result(tmp_path)


def test_committed_results_of_every_schema_are_read():
    files = sorted(Path(__file__).parents[1].glob("experiments/*/results.jsonl"))
    assert files
    for path in files:
        assert len(ResultsFile(path).read()) == len(path.read_text("utf-8").splitlines())
