"""Keys that last: what was asked for, and nothing else, under names that survive a move of the code."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from composed import compose
from head2head.run.canonical import SINCE, canonical
from head2head.run.key import identify

# Written down. A change of one of these makes every committed result a stranger: do not change them.
GOLDEN = {
    "": "d95a2abb52405690",
    "head=pooler seed=3": "f1902d950282a33c",
    "head=weighted_sum head/pool=cls batch_size=16": "e14e6cd9eef061ce",
    "head=attention head.pool.special_tokens=false task=cola": "8935db51cd995cfa",
    "head=max task=rte optimizer.lr=2e-4 trainer.max_epochs=5": "d833a8a27fbe896f",
    "head=mean task=stsb encoder.frozen=true head.standardize=false": "10da4705a14fb042",
    "head=mean_max task=stsb encoder.frozen=true optimizer.lr=1e-2 head.standardize=false": "4a2e90263561f5b2",
    "head=concat_last4 head/classifier=mlp task=mrpc encoder.frozen=4": "a09c180a2c4b3e02",
    "head=mean task=stsb encoder.frozen=true": "a2eda918e6b1567b",
    "head=attention task=cola encoder.frozen=true optimizer.lr=1e-2 fold=3": "61adfbc3ff2cbd80",
    "head=pooler task=rte encoder.frozen=true optimizer=exact fold=0": "63d893566d27d894",
    "head=cls task=rte head.standardize=true": "16771603f57db79f",
    "head=ner task=conll2003 head/classifier=bilstm encoder=bert-base-cased": "96582311ec6f13a0",
    "head=ner head.subword=mean task=entities encoder=random-tiny": "0a98d4af5e54c199",
    "head=cls task=mnli trainer.precision=bf16-mixed trainer.accumulate_grad_batches=2": "74a8d4329492f123",
    "head=mean task=needle speed=exact": "cc19ce7abbfb6bda",
    "head=mean task=rte fold=2 repeat=1": "90830dff7d9c4b3f",
    "head=mean task=rte fold=0 folds=10 task.train_rows=1000": "74d30f4f75998f83",
}


def key(*overrides: str) -> str:
    return identify(compose(overrides)).key


@pytest.fixture(autouse=True)
def _no_data_folder(monkeypatch):
    monkeypatch.delenv("HEAD2HEAD_DATA", raising=False)


@pytest.mark.parametrize("overrides", GOLDEN)
def test_keys_are_those_that_were_written_down(overrides):
    assert key(*overrides.split())[:16] == GOLDEN[overrides]


def test_the_content_of_own_files_is_in_the_key_and_their_place_is_not(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        for name in ("train", "dev"):
            (tmp_path / folder / f"{name}.csv").write_text("text,label\ngood,yes\nbad,no\n")

    def of(folder: str) -> str:
        place = tmp_path / folder
        return key("task=table", f"task.train={place}/train.csv", f"task.validation={place}/dev.csv")

    assert of("a") == of("b")
    assert of("a")[:16] == "828d72a8bdea161c"
    (tmp_path / "b" / "dev.csv").write_text("text,label\ngood,yes\nworse,no\n")
    assert of("a") != of("b")


@pytest.mark.parametrize(
    "overrides",
    ["trainer.accelerator=cpu", "trainer.devices=2 trainer.strategy=ddp", "threads=1", "save_model=false", "workers=2",
     "seed=0", "trainer.gradient_clip_val=1", "optimizer.head_lr=1e-4", "trainer.log_every_n_steps=1", "profile=true",
     "output_dir=elsewhere", "logger=wandb", "experiment=mine", "checkpoint_minutes=5", "folds=7", "repeat=2"],
)  # fmt: skip
def test_what_was_not_asked_for_otherwise_leaves_the_key(overrides):
    assert key(*overrides.split()) == key()


def test_the_rate_of_a_head_on_a_frozen_encoder_has_two_names_and_one_key():
    frozen = "encoder.frozen=true"
    assert key(frozen) == key(frozen, "optimizer.lr=1e-3") == key(frozen, "optimizer.head_lr=1e-3")
    assert key(frozen, "optimizer.lr=1e-2") == key(frozen, "optimizer.head_lr=1e-2") != key(frozen)
    assert key(frozen, "optimizer.layer_decay=0.9") == key(frozen)


def test_a_class_of_the_house_is_known_by_its_name_wherever_its_module_lies():
    config = compose([])
    before = canonical(config | {"seed": 0}, frozenset())
    config["head"]["pool"]["_target_"] = "head2head.somewhere.else_.Mean"
    assert canonical(config | {"seed": 0}, frozenset()) == before
    config["head"]["pool"]["_target_"] = "head2head.model.heads.Max"
    assert canonical(config | {"seed": 0}, frozenset()) != before


def test_a_setting_that_came_later_leaves_the_keys_of_before_and_has_one_of_its_own():
    config = compose(["fold=0"]) | {"seed": 0}
    before = canonical(config, frozenset())
    for name, default in SINCE.items():
        group, _, setting = name.partition(".")
        for value, same in ((default, True), (None, True), ("another", False)):
            changed = config | {group: config[group] | {setting: value}}
            assert (canonical(changed, frozenset()) == before) is same


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A user's folder with a pool that imports a helper, which imports another."""
    files = {
        "own_pools.py": "from own_parts.sums import total\nimport json\nclass First:\n    tokens = 3\n",
        "own_parts/__init__.py": "",
        "own_parts/sums.py": "from . import deeper\ndef total(): return deeper.N\n",
        "own_parts/deeper.py": "N = 1\n",
        "own_parts/unused.py": "M = 1\n",
        "configs/head/pool/first.yaml": "_target_: own_pools.First\n_partial_: true\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("own_p")]:
        del sys.modules[name]


@pytest.mark.parametrize("file", ["own_pools.py", "own_parts/sums.py", "own_parts/deeper.py", "own_parts/__init__.py"])
def test_a_users_own_class_enters_the_key_with_its_source_and_with_what_it_imports(own, file):
    before = key("head=mean", "head/pool=first")
    assert before == key("head=mean", "head/pool=first")
    path = Path(own, file)
    path.write_text(path.read_text().replace("3", "5").replace("N = 1", "N = 2") + "\n# edited\n")
    assert key("head=mean", "head/pool=first") != before


def test_what_a_users_class_does_not_import_is_not_in_the_key_and_nothing_of_it_is_run(own):
    before = key("head=mean", "head/pool=first")
    Path(own, "own_parts/unused.py").write_text("M = 2\n")
    assert key("head=mean", "head/pool=first") == before
    assert "own_pools" not in sys.modules
