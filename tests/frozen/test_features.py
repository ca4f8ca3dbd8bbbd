"""Features on disk: computed once, mapped, and never taken for whole when they are not."""

import errno
import json
import os
import sys
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from frozen_runs import SETTINGS, logits, run_beside

from composed import compose
from forked import SERVER
from head2head.errors import UserError
from head2head.files import checksum, known_checksum
from head2head.frozen import head_parts as readings
from head2head.frozen.dispatch import run_one
from head2head.frozen.features import Places
from head2head.frozen.group import open_batches
from head2head.model.encoder import Encoder
from head2head.model.heads.pooling import Mean
from head2head.run.result import Result

HEADS = (["head=mean"], ["head=attention"], ["head=weighted_sum", "head.layers.n=2"])


@pytest.fixture
def encoded(monkeypatch):
    """Number of batches that an encoder has encoded."""
    calls = []
    forward = Encoder.forward
    monkeypatch.setattr(Encoder, "forward", lambda self, *batch: calls.append(1) or forward(self, *batch))
    return calls


def arrays(tmp_path) -> list[Path]:
    return sorted(tmp_path.glob("cache/features/*/*.npy"))


def test_the_encoder_runs_once_for_all_heads_and_seeds(bank, encoded):
    bank(*HEADS)
    first = len(encoded)
    assert first > 0
    bank(*HEADS, output="again")
    bank(["head=mean", "seed=5"], ["head=second_to_last"], output="more")  # the layer below was read by weighted_sum
    assert len(encoded) == first
    bank(["head=max"], output="new")
    assert len(encoded) > first


def test_features_are_mapped_from_disk_and_not_read_into_memory(bank, monkeypatch):
    seen = []

    def opened(*arguments):
        batches = open_batches(*arguments)
        seen.extend(a for split in batches.values() for a in split.features.arrays.values())
        return batches

    monkeypatch.setattr("head2head.frozen.group.open_batches", opened)
    bank(*HEADS)
    maps = Path("/proc/self/maps")
    if not maps.exists():
        pytest.skip("no /proc")
    regions = [line.split() for line in maps.read_text().splitlines() if "/features/" in line]
    spans = [tuple(int(end, 16) for end in region[0].split("-")) for region in regions]
    assert seen
    for array in seen:
        assert any(start <= array.data_ptr() < end for start, end in spans)


def test_nothing_of_a_batch_is_left_when_freed_memory_is_given_back(bank, monkeypatch):
    outputs, left = [], []
    forward = Encoder.forward

    def kept_in_mind(self, *batch):
        output = forward(self, *batch)
        outputs.extend(weakref.ref(state) for state in output.hidden_states.values())
        return output

    def given_back():
        left.append((len(outputs), sum(output() is not None for output in outputs)))

    monkeypatch.setattr(Encoder, "forward", kept_in_mind)
    monkeypatch.setattr("head2head.frozen.features.give_back_freed_memory", given_back)
    bank(["head=attention", "evaluation_tokens=512"])
    assert len(outputs) > 2
    assert left == [(number, 0) for number in range(1, len(outputs) + 1)]


def test_what_training_does_leaves_the_files_as_they_were(bank, tmp_path):
    bank(*HEADS)
    before = {path: checksum(path) for path in arrays(tmp_path)}
    bank(*HEADS, output="again")
    assert {path: checksum(path) for path in arrays(tmp_path)} == before


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 4)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-2] ^= 0xFF
    path.write_bytes(content)


def forget(path: Path) -> None:
    path.with_suffix(".json").unlink()


def garble(path: Path) -> None:
    path.with_suffix(".json").write_text('{"shape": ')


@pytest.mark.parametrize("damage", [truncate, flip, forget, garble])
def test_a_broken_cache_is_noticed_and_computed_again(bank, encoded, tmp_path, damage):
    (expected,) = bank(["head=mean"])
    done = len(encoded)
    damage(arrays(tmp_path)[0])
    (found,) = bank(["head=mean"], output="again")
    assert len(encoded) > done
    np.testing.assert_array_equal(logits(found), logits(expected))


def test_what_a_killed_process_left_half_written_is_cleared_away(bank, tmp_path):
    bank(["head=mean"])
    for path in arrays(tmp_path):
        path.rename(path.with_suffix(".tmp"))
    (found,) = bank(["head=max"], output="again")
    assert isinstance(found, Result)
    assert not list(tmp_path.glob("cache/features/*/*.tmp"))


def test_another_encoder_other_data_or_another_pool_has_features_of_its_own(bank, tmp_path):
    bank(["head=mean"])
    one = set(arrays(tmp_path))
    (wider,) = bank(["head=mean", "+encoder.config.layer_norm_eps=0.1"], output="b")
    two = set(arrays(tmp_path))
    bank(["head=mean", "task.data_seed=4"], output="c")
    three = set(arrays(tmp_path))
    bank(["head=mean", "head.pool.special_tokens=false"], output="d")
    four = set(arrays(tmp_path))
    assert isinstance(wider, Result)
    assert one < two < three < four


def test_a_pool_whose_code_has_changed_is_computed_anew(bank, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    found = []
    for factor in (1, -30):
        (tmp_path / "own_pool.py").write_text(
            "from head2head.model.heads.pooling import Mean\n"
            "class Scaled(Mean):\n"
            "    def forward(self, tokens, mask, pooler_output=None):\n"
            f"        return {factor} * super().forward(tokens, mask)\n"
        )
        sys.modules.pop("own_pool", None)
        readings._file_hash.cache_clear()  # a process that runs does not see its files change
        found += bank(["head=mean", "head.pool._target_=own_pool.Scaled", "trust=own_pool"], output=f"runs{factor}")
    assert not np.allclose(*(logits(result) for result in found))


def test_two_processes_that_want_the_same_features_compute_them_once(tmp_path):
    settings = [*SETTINGS, f"cache_dir={tmp_path}/cache", "task.rows.train=600", "head=attention"]
    both = [
        SERVER.Process(target=run_beside, args=(str(tmp_path), name, [*settings, f"output_dir={tmp_path}/{name}"]))
        for name in "ab"
    ]
    for process in both:
        process.start()
    for process in both:
        process.join(200)
    assert [process.exitcode for process in both] == [0, 0]
    calls, scores = zip(*(json.loads(path.read_text()) for path in tmp_path.glob("*.told")), strict=True)
    assert sorted(count > 0 for count in calls) == [False, True]
    assert scores[0] == scores[1]


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    settings = [*SETTINGS, f"cache_dir={tmp_path}/cache", f"output_dir={tmp_path}/runs"]
    with pytest.raises(
        UserError, match=r"^cache_dir: \d+ kB of features in .* cannot be written: No space left on device; make room"
    ):
        run_one(compose(settings))
    assert not arrays(tmp_path)
    assert not list(tmp_path.glob("cache/features/*/*.tmp"))
    assert not (tmp_path / "runs").exists()


def test_places_are_those_of_each_rows_vectors_in_turn():
    places = Places(np.array([0, 2, 2, 5]), np.array([2, 0, 3, 1]))
    np.testing.assert_array_equal(places.of(np.array([2, 0, 1, 3])), [2, 3, 4, 0, 1, 5])


def test_linear_pools_and_layers_may_be_swapped():
    """What lets the scalar mix be trained on pooled layers: pooling is linear in the tokens."""
    torch.manual_seed(0)
    states, mask = torch.randn(3, 4, 7, 5, dtype=torch.float64), torch.ones(4, 7, dtype=torch.long)
    mask[1, 4:] = 0
    weights = torch.tensor([0.2, -1.0, 3.0], dtype=torch.float64)
    pool = Mean(5)
    mixed_first = pool(torch.einsum("l,lbth->bth", weights, states), mask)
    pooled_first = torch.einsum("l,lbh->bh", weights, torch.stack([pool(state, mask) for state in states]))
    torch.testing.assert_close(mixed_first, pooled_first, rtol=1e-12, atol=1e-12)


def test_batches_of_another_size_and_other_libraries_have_features_of_their_own(bank, tmp_path, monkeypatch):
    bank(["head=mean"])
    one = set(arrays(tmp_path))
    bank(["head=mean", "evaluation_tokens=512"], output="b")
    two = set(arrays(tmp_path))
    monkeypatch.setattr("importlib.metadata.version", lambda _: "0")
    bank(["head=mean"], output="c")
    assert one < two < set(arrays(tmp_path))


def test_a_file_is_checked_once_until_it_changes(tmp_path, monkeypatch):
    path, read = tmp_path / "a.npy", []
    path.write_bytes(b"1234")
    monkeypatch.setattr("head2head.files.checksum", lambda path: read.append(1) or checksum(path))
    first = known_checksum(path)
    assert known_checksum(path) == first
    assert len(read) == 1
    path.write_bytes(b"1235")
    os.utime(path, ns=(1, 1))
    assert known_checksum(path) != first
