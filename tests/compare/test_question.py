"""What is typed after compare: the question, its experiment, and mistakes in one line."""

import pytest
import yaml

from head2head.compare import budget
from head2head.compare.experiment import build
from head2head.compare.question import parse
from head2head.errors import UserError
from head2head.sweep.composer import Composer

TINY = ["encoder=random-tiny", "encoder.config.num_hidden_layers=4", "task=majority"]
SMALL = [*TINY, "repeats=1", "folds=2"]


@pytest.fixture(scope="module")
def composer():
    """One for all questions: composing is what takes time here."""
    return Composer()


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch, composer):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HEAD2HEAD_DATA", raising=False)
    monkeypatch.setattr("head2head.compare.experiment.Composer", lambda: composer)


def message(*arguments):
    with pytest.raises(UserError) as caught:
        build(parse(arguments))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_budget_is_a_time_or_a_number_of_runs():
    assert budget.parse("").ended(1e9, 10**9) is False
    assert budget.parse("2h").seconds == 7200
    assert budget.parse("30m").ended(1801, 0)
    assert budget.parse("40runs").ended(0, 41)
    assert not budget.parse("40runs").ended(1e9, 40)
    for text in ("30", "m", "-3m", "0m", "2.5runs", "3 days"):
        with pytest.raises(UserError, match="such as 30m, 2h or 40runs"):
            budget.parse(text)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["head=mean"], "head=mean: not for compare; write heads=A,B"),
        (["seed=3"], "seed=3: not for compare; a fold's seed is the same for every head"),
        (["heads=mean,meanmax"], "unknown head 'meanmax'; did you mean mean_max"),
        (["heads=mean"], "heads=mean: two heads at least, to compare"),
        (["heads=mean,max,mean"], "mean stands there twice"),
        (["folds=1"], "folds=1: a whole number, 2 or above"),
        (["margin=1"], "margin=1: a fraction of a score, such as 0.01 for one point"),
        (["budget=soon"], "budget=soon: a time or a number of runs"),
        (["task=majority,needle"], "task=majority,needle: one task a question"),
        (["task.train_rows=10,20"], "task.train_rows=10,20: one task.train_rows a question"),
        (["task=table"], "task=table needs task.train=FILE"),
        (["task=table", "task.train=none.csv"], "none.csv: no such file"),
        (["heads=mean,ner"], "task majority has one label a text: it needs a sentence head"),
        (["task.metrics=[macro_f1]", "task=entities"], "unknown metric 'macro_f1'"),
        (["retry=perhaps"], "retry=perhaps: expected true or false"),
    ],
)
def test_mistakes_are_named_in_a_line(arguments, told):
    given = {text.partition("=")[0] for text in arguments}
    assert told in message(*(text for text in TINY if text.partition("=")[0] not in given), *arguments)


def test_every_head_has_the_same_rates_on_every_fold_of_every_repeat():
    experiment = build(parse(TINY))
    assert list(experiment.names.values()) == ["pooler", "cls", "mean", "max", "weighted_sum"]
    assert {len(settings) for settings in experiment.settings.values()} == {3}
    assert experiment.design.runs == len(experiment.planned) == 5 * 3 * 5 * 2
    rates = {experiment.settings_of(run)["optimizer"]["lr"] for run in experiment.planned.values()}
    assert rates == {5e-5, 1e-4, 2e-4}
    for entry, run in experiment.planned.items():
        fold = run.identity.task.fold
        assert (fold.number, fold.repeat) == (entry.round % 5, entry.round // 5)
        assert run.identity.seed == entry.round
        assert run.identity.head == entry.head


def test_on_a_frozen_encoder_heads_without_learned_parts_are_solved_and_others_have_rates():
    experiment = build(parse([*SMALL, "encoder.frozen=true"]))
    counts = {experiment.names[head]: len(settings) for head, settings in experiment.settings.items()}
    assert counts == {"pooler": 1, "cls": 1, "mean": 1, "max": 1, "weighted_sum": 3}
    experiment.write()
    solved, trained = (
        yaml.safe_load((experiment.folder / f).read_text()) for f in ("sweep.yaml", "sweep-trained.yaml")
    )
    assert solved["parameters"]["head"]["values"] == ["pooler", "cls", "mean", "max"]
    assert "optimizer=exact" in solved["command"]
    assert trained["parameters"]["head"]["values"] == ["weighted_sum"]


def test_words_have_heads_of_their_own():
    experiment = build(parse(["task=entities", *SMALL[:2], *SMALL[3:]]))
    assert list(experiment.settings) == ["ner", "weighted_sum-ner", "concat_last4-ner"]


def test_what_is_typed_takes_the_place_of_the_usual_grid():
    experiment = build(parse([*SMALL, "optimizer.lr=1e-3", "trainer.max_epochs=1,2", "heads=mean,max"]))
    assert set(experiment.settings) == {"mean", "max"}
    assert len(experiment.settings["mean"]) == 2
    config = experiment.settings_of(next(iter(experiment.planned.values())))
    assert (config["optimizer"]["lr"], config["trainer"]["max_epochs"]) == (1e-3, 1)


def test_the_same_question_finds_its_experiment_and_another_one_has_its_own(tmp_path):
    data = tmp_path / "my.csv"
    rows = [f"text {i},{'ab'[i % 2]}" for i in range(20)]
    data.write_text("text,label\n" + "\n".join(rows) + "\n")
    asked = [
        "task=table",
        "task.train=my.csv",
        "encoder=random-tiny",
        "encoder.config.num_hidden_layers=4",
        "heads=mean,max",
        "folds=2",
        "repeats=1",
    ]
    name = build(parse(asked)).name
    assert name.startswith("compare-table-")
    for other in (["budget=5m"], ["output_dir=elsewhere"], ["threads=1"], ["plan=true"], ["save_model=true"]):
        assert build(parse([*asked, *other])).name == name
    names = {name}
    for other in (
        ["margin=0.02"],
        ["folds=3"],
        ["repeats=2"],
        ["heads=mean,cls"],
        ["encoder.frozen=true"],
        ["batch_size=8"],
    ):
        names.add(
            build(
                parse([*(text for text in asked if text.partition("=")[0] != other[0].partition("=")[0]), *other])
            ).name
        )
    data.write_text("text,label\n" + "\n".join(rows[1:]) + "\n")
    names.add(build(parse(asked)).name)
    assert len(names) == 8


def test_the_sweep_file_holds_the_full_grid_and_no_setting_of_this_machine(tmp_path):
    experiment = build(parse([*SMALL, "heads=mean,max", f"output_dir={tmp_path}/runs", "threads=1"]))
    experiment.write()
    text = (experiment.folder / "sweep.yaml").read_text()
    assert text.startswith("# head2head compare encoder=random-tiny encoder.config.num_hidden_layers=4 task=majority")
    assert "output_dir" not in yaml.safe_dump(yaml.safe_load(text))
    from head2head.sweep.request import Request
    from head2head.sweep.search import Search

    search = Search(Request(experiment.name))
    assert {run.key for run in search.known()} == {run.key for run in experiment.planned.values()}
