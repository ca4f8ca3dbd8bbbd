"""`profile=true`: which steps are profiled, and that nothing else changes."""

import gzip
import json
import re
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from composed import compose
from head2head.errors import UserError
from head2head.model.finetuner import Diverged
from head2head.run.profiling import window
from head2head.run.run import run

SMALL = [
    *("encoder=random-tiny", "task.rows.train=50", "task.rows.validation=64", "batch_size=2", "threads=1"),
    *("trainer.accelerator=cpu", "trainer.max_epochs=1", "trainer.enable_progress_bar=false", "save_model=false"),
]  # 25 batches


@pytest.fixture
def go(tmp_path):
    return partial(start, tmp_path)


def start(place, *overrides):
    return run(compose([*SMALL, f"output_dir={place}/runs", f"cache_dir={place}/cache", *overrides]))


@pytest.fixture(scope="module")
def profiled(tmp_path_factory):
    """A run with a profile."""
    return start(tmp_path_factory.mktemp("profiled"), "profile=true")


def traced(result):
    """How often each event is in a run's trace."""
    with gzip.open(Path(result.folder, "trace.json.gz"), "rt", encoding="utf-8") as file:
        events = json.load(file)["traceEvents"]
    return Counter(event["name"] for event in events if event.get("cat") in ("cpu_op", "user_annotation"))


def test_the_trace_has_ten_steps_from_the_middle_with_forward_and_backward(profiled):
    seen = traced(profiled)
    assert {name for name in seen if name.startswith("ProfilerStep")} == {f"ProfilerStep#{n}" for n in range(10, 20)}
    # Of each of two layers, and of the head.
    assert seen["BertLayerFunction"] == seen["BertLayerFunctionBackward"] == 10 * 2
    assert seen["aten::linear"] == seen["AddmmBackward0"] == 10
    assert seen["Optimizer.step#AdamW.step"] == 10


def test_the_table_has_the_twenty_operators_that_cost_most(profiled):
    lines = Path(profiled.folder, "profile.txt").read_text().splitlines()
    rule = lines[0]
    assert lines[1].split() == "Name Self CPU % Self CPU CPU total % CPU total CPU time avg # of Calls".split()
    rows = lines[3 : lines.index(rule, 3)]
    shares = [float(re.search(r"([\d.]+)%", row).group(1)) for row in rows]
    assert len(rows) == 20
    assert shares == sorted(shares, reverse=True)


def test_it_changes_neither_scores_nor_curves(profiled, go):
    plain = go()
    assert (profiled.key, profiled.metrics, profiled.curve) == (plain.key, plain.metrics, plain.curve)
    files = [{path.name for path in Path(result.folder).iterdir()} for result in (plain, profiled)]
    assert files[1] - files[0] == {"trace.json.gz", "profile.txt"}


@pytest.mark.parametrize(
    ("batches", "wait", "warmup", "active"),
    [(100, 5, 5, 10), (20, 5, 5, 10), (17, 2, 5, 10), (12, 0, 2, 10), (1, 0, 0, 1)],
)
def test_fewer_batches_leave_out_waiting_and_warming_up(batches, wait, warmup, active):
    assert window(batches) == {"wait": wait, "warmup": warmup, "active": active}


@pytest.mark.parametrize(("settings", "batches"), [(["trainer.max_steps=1"], 1), (["trainer.val_check_interval=3"], 3)])
def test_a_short_run_is_profiled_whole_and_validation_is_left_out(settings, batches, go, capsys):
    result = go("profile=true", *settings)
    assert traced(result)["BertLayerFunction"] == batches * 2
    files = f"{result.folder}/trace.json.gz (for ui.perfetto.dev), {result.folder}/profile.txt"
    assert f"profile of {batches} batches: {files}" in capsys.readouterr().out.splitlines()


def test_a_run_that_ends_before_says_that_there_is_none(go, capsys):
    go("profile=true", "trainer.max_time=00:00:00:00")
    assert "no profile: training ended before" in capsys.readouterr().out


def test_after_a_run_that_diverged_the_next_one_can_be_profiled(go):
    with pytest.raises(Diverged):
        go("profile=true", "optimizer.lr=1e30", "optimizer.warmup_ratio=0", "trainer.gradient_clip_val=null")
    assert traced(go("profile=true", "trainer.max_steps=1"))["Optimizer.step#AdamW.step"] == 1


def test_it_is_true_or_false(go):
    with pytest.raises(UserError, match=r"^profile=3: true or false$"):
        go("profile=3")
