"""The benchmark's own arithmetic, its file of numbers, and the page made of it."""

import importlib
import json
import sys
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import BertConfig, BertModel

from head2head.model.encoder import Encoder
from head2head.model.output import Needs
from head2head.speed import apply as speed
from head2head.speed.apply import Trick
from head2head.speed.first_token import use_first_token_layer

FOLDER = Path(__file__).parents[1] / "benchmarks"
SHAPE = {"hidden": 384, "intermediate": 1536, "layers": 2}
ABOUT = {
    "processor": "a processor", "instructions": "AVX512", "cores": 2, "threads": 2, "memory": 2**34, "system": "Linux",
    "versions": {"torch": "2.13"}, "commit": "0123456789", "date": "2026-01-01", "load": 0.0, "smoke": False,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _benchmarks(monkeypatch):
    """The scripts of benchmarks/ as they see each other, and out of sight again afterwards."""
    monkeypatch.syspath_prepend(str(FOLDER))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if (FOLDER / f"{name}.py").exists():
            del sys.modules[name]


def load(name):
    return importlib.import_module(name)


def model():
    return BertModel(
        BertConfig(vocab_size=64, hidden_size=384, intermediate_size=1536, num_hidden_layers=2, num_attention_heads=12),
        add_pooling_layer=False,
    )


def test_the_parameters_counted_are_those_of_the_layers():
    assert load("flops").parameters(SHAPE) == sum(p.numel() for p in model().encoder.parameters())


@pytest.mark.parametrize("shortcut", [False, True])
def test_the_operations_counted_are_those_that_torch_counts(shortcut):
    flops, texts, length = load("flops"), 4, 8
    encoder = Encoder(model(), Needs(frozenset({2}), first_only=True))
    if shortcut:
        use_first_token_layer(encoder)
    ids = torch.randint(64, (texts, length))
    with FlopCounterMode(display=False) as counter:
        encoder(ids, torch.ones_like(ids)).last_hidden_state.sum().backward()
    tokens = texts * length
    counted = flops.with_first_token(SHAPE, tokens, texts) if shortcut else flops.useful(SHAPE, tokens)
    assert counted == pytest.approx(counter.get_total_flops(), rel=0.02)


def contestant(seconds, texts=100, tokens=1000):
    return {"seconds": seconds, "texts": texts, "tokens": tokens, "steps": 20, "peak": 2**30, "optimizer": "adamw",
            "shape": SHAPE}  # fmt: skip


def ways(factor):
    """Every way to train, in other seconds."""
    seconds = {"exact": 8.0, "fast": 2.0, "only compiled layers": 4.0, "without compiled layers": 5.0}

    def one(name):
        taken = factor * seconds.get(name, 8.0 if "only" in name else 2.0)
        return contestant(taken) | {"processor_seconds": 2 * taken}

    return {side: {name: one(name) for name in names} for side, names in load("tricks").SIDES.items()}


def part(units, **others):
    return {"about": ABOUT, "units": units, "finished": True, "error": None} | others


def numbers():
    """What results.json holds, of round numbers."""
    products = {"multiply-adds": 100.0, "2048x2048x2048": 80.0, "4096x4096x4096": 90.0, "32x384x384": 50.0}

    def one(pooler):
        return {
            "padded": contestant(10.0), "dynamic": contestant(4.0), "grouped": contestant(2.0),
            "pooler": contestant(pooler), "mean": contestant(2.0),
        }  # fmt: skip

    sweep = {"wall": 50.0, "runs": 10, "seconds": {"train": 30.0, "validation": 10.0, "total": 45.0}}
    memory = {name: contestant(1.0) | {"peak": peak * 2**20} for name, peak in
              {"padded": 3000, "dynamic": 2000, "grouped": 2000, "pooler": 1000, "mean": 1600}.items()}  # fmt: skip
    return {
        "finetuning": part({"products/0": products, "rte/0": one(1.0), "rte/1": one(2.0), "rte/2": one(1.25)}),
        "memory": part(memory),
        "start": part({"0": {"first_step": 9.0, "imports": 7.0}, "1": {"first_step": 8.0, "imports": 7.0}}),
        "launchers": part({"0": {"joblib": sweep, "basic": sweep | {"wall": 75.0}}}),
        "overhead": part({"0": sweep | {"imports": 10.0, "workers": 2}}),
        "frozen": part(
            {
                "pass": {"seconds": 20.0, "texts": 500, "tokens": 5000},
                "sweep": sweep | {"epochs": 10, "heads": ["cls", "mean"]},
                "trainer": contestant(30.0),
            }
        ),
        "frozen_memory": part({"100": {"peak": 2**29, "cached": 2**20, "seconds": 5.0}}),
        "tricks": part({"rte/0": ways(1.0), "rte/1": ways(1.1)}),
    }


def test_the_page_is_made_of_the_numbers():
    page = load("table").document(json.loads(json.dumps(numbers())))
    rows = {line.split(" | ")[0].strip("| "): line.strip("| ").split(" | ")[1:] for line in page.splitlines()}
    assert "a processor, AVX512, 2 cores, 2 threads, 16 GiB" in page
    assert page.count("a processor") == 1
    # 100 texts in 1, 2 and 1.25 seconds, against 10, 4 and 2.
    pooler = rows["RTE, head2head, `head=pooler`"]
    assert pooler == ["8.00 (5.00 to 10.00)", "3.20 (2.00 to 4.00)", "1.60 (1.00 to 2.00)"]
    useful = 6 * load("flops").parameters(SHAPE) * 1000 / 2 / 1e9
    assert f"| {useful:.1f} ({useful:.0f} %) |" in page  # of a peak of 100
    assert rows["Trainer, padded to 128 (run_glue.py)"] == ["3000 MiB", "3.00", "1.88"]
    assert "| 8.50 | 7.00 | 1.50 (1.00 to 2.00) |" in page
    assert "| 75.0 | 50.0 | 1.50 |" in page
    assert "| 50.0 | 40.0 | 10.0 | 2.00 |" in page  # (50 - 40 / 2 - 10) / 10
    assert rows["Trainer, an estimate: that x 10 runs x 10 epochs"] == ["3000.0"]
    assert (
        "The sweep is 60.0 times as fast as the estimate and as long as 2.5 passes of the encoder, 2.2 without starts."
        in page
    )
    assert rows["100"] == ["512 MiB", "1 MiB", "5 s"]
    # exact 8 s, compiled alone 4 s; fast 2 s, without compiled 5 s; a processor that does twice as much beside it
    assert rows["compiled layers"] == ["2.00 (2.00 to 2.00)", "2.50 (2.50 to 2.50)"]
    assert page.count("| all of them | 4.00 (4.00 to 4.00) |  |") == 2


def test_the_peak_is_above_what_torch_multiplies():
    machine = load("machine")
    assert machine.peak(tries=3, rounds=1_000_000) > 0.9 * machine.gflops(512, 512, 512, tries=2, seconds=0.02)


def test_every_trick_is_measured_alone_and_left_out_and_none_of_them_is_exact():
    tricks = load("tricks")
    assert len(tricks.WAYS) == 2 + 2 * len(Trick)
    assert tricks.WAYS["only compiled layers"] == {Trick.COMPILED}
    assert Trick.COMPILED not in tricks.WAYS["without compiled layers"]
    with tricks.using(tricks.WAYS["exact"]):
        encoder = Encoder(model(), Needs(frozenset({2}), first_only=True))
        assert speed.apply(encoder, torch.device("cpu"), "32-true", fast=True).stream == "cpu torch"
    assert "only" not in getattr(speed.apply, "keywords", {})


def test_the_page_says_what_failed_and_what_was_not_measured():
    found = numbers()
    del found["frozen"]["units"]["sweep"], found["start"]
    found["frozen"] |= {"finished": False, "error": "RuntimeError: out of disk"}
    page = load("table").document(found)
    start, frozen = (
        page.partition(f"## {title}\n")[2].partition("\n## ")[0] for title in ("To the first step", "Frozen encoder")
    )
    assert start.strip() == "Not measured."
    assert "Not finished: RuntimeError: out of disk" in frozen
    assert "| 20.0 |" in frozen


def test_every_part_has_its_code_and_its_place_on_the_page():
    parts = load("bench").PARTS
    assert list(parts) == list(load("table").SECTIONS)
    assert all(callable(getattr(load(module), function)) for module, function in parts.values())


def test_a_part_that_fails_keeps_its_numbers_and_goes_on_from_there(tmp_path, monkeypatch):
    bench, store = load("bench"), load("store")
    path = tmp_path / "results.json"
    asked = []

    def broken(_size, _scratch, done):
        asked.append(list(done))
        for unit in ("a", "b"):
            if unit not in done:
                yield unit, {"seconds": 1.0}
                if len(asked) == 1:
                    raise RuntimeError("no more")

    monkeypatch.setattr(load("sweeps"), "start", broken)
    assert not bench.measure("start", None, ABOUT, store.Store(path), tmp_path)
    kept = store.Store(path)
    assert kept.parts["start"]["units"] == {"a": {"seconds": 1.0}}
    assert kept.parts["start"]["error"] == "RuntimeError: no more"
    assert kept.left(["start"], ABOUT | {"date": "later", "load": 3.0}) == ["start"]
    assert bench.measure("start", None, ABOUT, kept, tmp_path)
    assert list(store.Store(path).parts["start"]["units"]) == ["a", "b"]
    assert asked == [[], ["a"]]


def test_finished_parts_are_measured_again_only_when_all_are_or_the_machine_has_changed(tmp_path):
    found = load("store").Store(tmp_path / "results.json")
    for name in ("start", "memory"):
        found.begin(name, ABOUT)
        found.add(name, "a", {"seconds": 1.0})
    found.end("memory")
    assert found.left(["start", "memory"], ABOUT) == ["start"]
    found.end("start")
    assert found.left(["start", "memory"], ABOUT) == ["start", "memory"]
    assert found.begin("start", ABOUT) == []
    assert found.begin("memory", ABOUT | {"cores": 4}) == []
