"""Whole races: what is run, what is said, and what survives a kill."""

import json
import random
import subprocess
import sys
import time

import pytest

from forked import ROOT, Forked

WORDS = {"good": ("alpha beta gamma", "delta epsilon zeta"), "bad": ("one two three", "four five six")}


def write_csv(path, rows=120, seed=0):
    """Texts of two classes, each with words of its own."""
    rng, lines = random.Random(seed), ["text,label"]
    for i in range(rows):
        label = ("good", "bad")[i % 2]
        meant = label if rng.random() < 0.8 else "good"
        words = " ".join(rng.choice(WORDS[meant]) for _ in range(3))
        lines.append(f"{words} {i},{label}")
    path.write_text("\n".join(lines) + "\n")


FROZEN = [
    *(
        "task=table",
        "task.train=my.csv",
        "encoder=random-tiny",
        "encoder.frozen=true",
        "folds=3",
        "repeats=1",
    ),
    *("trainer.accelerator=cpu", "threads=1", "trainer.max_epochs=2", "optimizer.lr=0.01,0.03"),
    "encoder.config.num_hidden_layers=4",  # weighted sums take four
]


class Place:
    """A folder with my.csv, and races in it."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        write_csv(folder / "my.csv")

    def start(self, *arguments):
        return Forked("compare", arguments, self.folder)

    def ask(self, *arguments):
        process = self.start(*arguments)
        out, err = process.communicate(timeout=300)
        return process.returncode, out, err

    @property
    def experiment(self):
        (found,) = self.folder.glob("experiments/compare-*")
        return found

    def race(self):
        """race.json, but for the time that it took."""
        content = json.loads((self.experiment / "race.json").read_text())
        return {name: value for name, value in content.items() if name != "seconds"}

    def written(self):
        """Run folders with a result, and when it was written."""
        found = self.folder.glob("lightning_logs/*/*/*/result.json")
        return {path: path.stat().st_mtime_ns for path in found}

    def results(self):
        path = self.experiment / "results.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture(scope="module")
def answered(tmp_path_factory):
    """A race on a frozen encoder, own data without a validation file."""
    place = Place(tmp_path_factory.mktemp("answered") / "place")
    place.told = place.ask(*FROZEN)
    return place


def test_own_data_without_a_validation_file_get_an_answer_a_report_and_a_command(answered):
    status, out, err = answered.told
    assert status == 0, err
    race = answered.race()
    assert race["answer"] in out.replace("\r", "")
    assert (answered.experiment / "report.html").is_file()
    assert "to train " in out
    assert "head2head train head=" in out
    assert "after 1 of 3 rounds" in out or "after 2 of 3 rounds" in out
    assert "run_spread=0.01" in out


def test_the_race_is_on_record_with_why_heads_have_unequal_runs(answered):
    race = answered.race()
    assert "because a race gave them out" in race["why_unequal"]
    assert race["runs"] == len(answered.results()) == sum(head["runs"] for head in race["heads"])
    solved = {f"{head}-exact" for head in ("pooler", "cls", "mean", "max")}
    assert {head["head"] for head in race["heads"]} == solved | {"weighted_sum-mean"}
    for head in race["heads"]:
        assert len(head["settings_run"]) == head["rounds"]
        if head["dropped_after_round"] is not None:
            assert head["state"] in ("beaten", "equal", "no better")


def test_stopped_by_its_budget_killed_and_asked_again_a_race_comes_to_the_same_end(answered, tmp_path):
    place = Place(tmp_path / "disturbed")
    status, out, err = place.ask(*FROZEN, "budget=13runs")
    assert status == 0, err
    assert len(place.results()) <= 13
    assert place.race()["rounds"] == 2
    assert place.race()["decided"] or "Budget=13runs leaves no room for round 3" in out
    process, there = place.start(*FROZEN), len(place.written())
    end = time.monotonic() + 120
    while process.poll() is None and len(place.written()) == there and time.monotonic() < end:
        time.sleep(0.02)
    process.kill()
    process.communicate()
    before = place.written()
    status, _, err = place.ask(*FROZEN)
    assert status == 0, err
    assert place.race() == answered.race()
    assert before.items() <= place.written().items()  # nothing was run again


def test_words_have_heads_of_their_own_fine_tuned_by_workers_and_a_plan_starts_nothing(tmp_path):
    place = Place(tmp_path / "words")
    rng, lines = random.Random(0), []
    for _ in range(60):
        for _ in range(rng.randint(2, 5)):
            word, tag = rng.choice([("Anna", "B-PER"), ("Paris", "B-LOC"), ("sees", "O"), ("the", "O"), ("sea", "O")])
            lines.append(f"{word} {tag}")
        lines.append("")
    (place.folder / "words.txt").write_text("\n".join(lines))
    asked = [
        text for text in FROZEN if not text.startswith(("task", "encoder.frozen", "threads", "optimizer", "folds"))
    ]
    asked += ["task=conll", "task.train=words.txt", "optimizer.lr=0.01", "trainer.max_steps=2", "folds=2"]
    asked += ["hydra/launcher=joblib", "hydra.launcher.n_jobs=1"]
    status, out, err = place.ask(*asked, "plan=true")
    assert status == 0, err
    assert "at most 6 runs in 2 rounds (2 folds x 1 repeats), 0 of them there already" in out
    assert not (place.folder / "experiments").exists()
    status, out, err = place.ask(*asked)
    assert status == 0, err
    heads = {head["head"] for head in place.race()["heads"]}
    assert heads == {"ner", "weighted_sum-ner", "concat_last4-ner"}
    assert "1 worker x " in out
    assert "head2head train head=ner" in out
    assert "task.validation=words.txt" in out


def test_mistakes_are_told_in_a_line(tmp_path):
    place = Place(tmp_path / "mistakes")
    for arguments, told in (
        (["task=table", "task.train=none.csv"], "error: none.csv: no such file"),
        (["--help=1"], "error: --help=1: settings have no dashes"),
        ([*FROZEN, "budget=3runs"], "error: budget=3runs: the first round alone takes "),
    ):
        status, _, err = place.ask(*arguments)
        assert status == 1
        assert told in err
        assert "Traceback" not in err


def test_help_takes_no_torch_and_names_every_head():
    code = (
        "import sys; from head2head.cli.hydra_command_line import compare; compare(['--help']);"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "budget=30m" in done.stdout
    assert "weighted_sum" in done.stdout
