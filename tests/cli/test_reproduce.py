"""`head2head reproduce`: a run from its folder, and runs of an experiment's results."""

import contextlib
import json
import shutil
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from composed import compose
from head2head.cli.main import app
from head2head.cli.reproduce import reproduce_run, reproduce_sample
from head2head.errors import UserError
from head2head.experiments import results_file
from head2head.frozen.dispatch import run_several
from head2head.run.key import identify
from head2head.run.result import read_result
from head2head.sweep.job import portable

SMALL = [
    *("encoder=random-tiny", "trainer.max_steps=3", "trainer.accelerator=cpu", "trainer.enable_progress_bar=false"),
    *("task.rows.train=60", "task.rows.validation=100", "threads=1"),
]
RUNS = (
    ["head=mean"],
    ["head=max", "seed=1"],
    ["head=mean", "encoder.frozen=true"],
    ["head=attention", "encoder.frozen=true"],  # trained together with the one before
    ["head=ner_crf", "task=entities"],
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with finished runs, and an experiment that holds their results."""
    place = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        for part in (RUNS[:1], RUNS[1:2], RUNS[2:4], RUNS[4:]):
            typed = [[*SMALL, *own, "experiment=tiny", f"output_dir={place}/runs"] for own in part]
            for _, result in run_several([compose(overrides) for overrides in typed], typed):
                results_file("tiny").add(portable(result, identify(result.config)))
    return place


@pytest.fixture
def copied(finished, tmp_path, monkeypatch) -> Path:
    """The same, to be changed."""
    shutil.copytree(finished, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    return tmp_path / "copy"


def folders(place: Path) -> list[Path]:
    return sorted(path.parent for path in place.glob("runs/*/*/*/result.json"))


def edit(folder: Path, **changes) -> None:
    path = folder / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_every_kind_of_run_comes_out_again_to_the_last_bit(copied, capsys):
    for folder in folders(copied):
        reproduce_run(folder)
        told = capsys.readouterr().out.splitlines()
        assert told[0] == "equal to the last bit"
        assert any(line.startswith("predictions on validation: ") for line in told)
        assert not [line for line in told if line.startswith("not as then") and "git_commit" not in line]
    assert len(folders(copied)) == len(RUNS)  # nothing was added


def test_a_score_that_was_edited_is_noticed(copied, capsys):
    folder = folders(copied)[0]
    result = read_result(folder)
    ((split, metrics),) = result.metrics["last"].items()
    name = next(iter(metrics))
    edit(folder, metrics={"last": {split: metrics | {name: metrics[name] + 1e-9}}})
    with pytest.raises(UserError, match="does not come out as it did"):
        reproduce_run(folder)
    assert capsys.readouterr().out.startswith("DIFFERS, where equal bits are promised")


def test_what_is_not_as_it_was_is_named_and_near_numbers_agree_then(copied, capsys):
    folder = folders(copied)[0]
    result = read_result(folder)
    ((split, metrics),) = result.metrics["last"].items()
    edit(folder, metrics={"last": {split: {name: value - 0.001 for name, value in metrics.items()}}},
         device="another machine", versions=result.versions | {"torch": "2.12.0"})  # fmt: skip
    reproduce_run(folder)
    told = capsys.readouterr().out
    assert told.startswith("within rounding")
    assert "not as then: device: another machine -> " in told
    assert "not as then: versions.torch: 2.12.0 -> 2." in told


def test_another_setting_shows_as_another_key(copied, capsys):
    folder = folders(copied)[0]
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["trainer"]["max_steps"] = 2
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    with contextlib.suppress(UserError):  # two steps may come near to three
        reproduce_run(folder)
    told = capsys.readouterr().out
    assert "not as then: key: " in told
    assert "not as then: trainer.max_steps: 3 -> 2" in told


@pytest.mark.parametrize(
    ("change", "message"),
    [({"failed": "it diverged"}, "has failed"), ({"stopped": "below the others"}, "stopped early by its sweep")],
)
def test_a_run_without_numbers_of_its_own_is_refused(copied, change, message):
    edit(folders(copied)[0], **change)
    with pytest.raises(UserError, match=message):
        reproduce_run(folders(copied)[0])


def test_own_files_may_lie_elsewhere_now(copied, tmp_path, capsys):
    for name in ("train", "dev"):
        rows = "".join(
            f"{word} {name} {i},{label}\n" for i in range(20) for word, label in (("good", "yes"), ("bad", "no"))
        )
        (copied / f"{name}.csv").write_text("text,label\n" + rows)
    typed = [*(s for s in SMALL if not s.startswith("task.")), "task=table", "task.train=train.csv",
             "task.validation=dev.csv", "head=mean", f"output_dir={copied}/own"]  # fmt: skip
    ((_, result),) = run_several([compose(typed)], [typed])
    (tmp_path / "moved").mkdir()
    for name in ("train", "dev"):
        (copied / f"{name}.csv").rename(tmp_path / "moved" / f"{name}.csv")
    with pytest.raises(UserError, match=r"train\.csv: no such file"):
        reproduce_run(Path(result.folder))
    moved = [f"task.{split}={tmp_path}/moved/{name}.csv" for split, name in (("train", "train"), ("validation", "dev"))]
    capsys.readouterr()
    reproduce_run(Path(result.folder), places=moved)
    assert capsys.readouterr().out.startswith("equal to the last bit")
    with pytest.raises(UserError, match=r"--set task\.trian=x: give NAME=VALUE"):
        reproduce_run(Path(result.folder), places=["task.trian=x"])


@pytest.mark.usefixtures("copied")
def test_runs_of_an_experiment_come_out_again(capsys):
    reproduce_sample("tiny", 2, seed=7)
    told = capsys.readouterr().out
    assert told.startswith("tiny: 2 of 5 runs, drawn with --seed 7\n")
    assert told.count(": equal to the last bit") == 2
    reproduce_sample("tiny", 2, seed=7)
    assert capsys.readouterr().out == told
    reproduce_sample("tiny", 99, seed=7)
    assert capsys.readouterr().out.count(": equal to the last bit") == 5


def test_a_committed_number_that_is_wrong_fails_and_names_the_run(copied):
    path = copied / "experiments/tiny/results.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    wrong = lines[2]
    wrong["metrics"]["last"]["validation"] = {n: v + 0.01 for n, v in wrong["metrics"]["last"]["validation"].items()}
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = CliRunner().invoke(app, ["reproduce", "--experiment", "tiny", "--sample", "5"])
    assert done.exit_code == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: experiments/tiny/results.jsonl: 1 of 5 runs do not come out as they did: ")
    assert wrong["key"][:8] in last


@pytest.mark.parametrize("arguments", [[], ["runs", "--experiment", "tiny"]])
def test_it_wants_a_folder_or_an_experiment(arguments):
    done = CliRunner().invoke(app, ["reproduce", *arguments])
    assert done.exit_code == 1
    assert "error: give the folder of a finished run, or --experiment NAME" in done.stderr


def test_an_unknown_experiment_and_an_empty_folder_are_user_errors(copied):
    with pytest.raises(UserError, match="unknown experiment 'tini'; did you mean tiny"):
        reproduce_sample("tini", 1)
    with pytest.raises(UserError, match="not the folder of a finished run"):
        reproduce_run(copied)
