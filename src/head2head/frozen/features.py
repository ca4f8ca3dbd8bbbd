"""Features on disk: one array for each FeatureSpec and split, memory-mapped, computed once by whoever comes first."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock, Timeout
from torch import Tensor
from tqdm import tqdm

from head2head.data.batching import EvaluationBatches, Step, TokenizedRows, spans
from head2head.data.datamodule import Split
from head2head.files import cannot_be_written, checksum, known_checksum, shown_bytes, write_atomically
from head2head.frozen.head_parts import FeatureSpec, Make, Unit
from head2head.model.encoder import Encoder
from head2head.speed.allocator import give_back_freed_memory

VERSION = 1  # raise when the arrays or their meaning change: cached ones carry it in their name
LARGE = 10**8  # bytes of features that are told beforehand, in a line of their own


@dataclass(frozen=True)
class Features:
    """The features of one split, or of the whole that it is a part of.

    arrays: (N, width) for each spec, N rows, words or tokens; memory-mapped.
    """

    arrays: Mapping[FeatureSpec, Tensor]


class Store:
    """A folder of arrays for one encoder and one tokenized split.

    Args:
        folder: below the cache folder.
        encoder: frozen, in eval mode, on the device that computes; it has the layers that are asked for.
        split: what is encoded; of a part all that it is a part of, so that all parts share the arrays. Each text by
            itself where those of pairs are read apart.
        name: of task and split, for the progress bar.
        tokens: word pieces in a batch, padding included.
    """

    def __init__(self, cache: Path, encoder: Encoder, split: Split, name: str, tokens: int):
        split = split.whole or split
        self.encoder, self.rows, self.name, self.tokens = encoder, split.rows.each_text(), name, tokens
        self.dtype = next(encoder.parameters()).dtype
        config = encoder.model.config.to_diff_dict()
        for passing in ("_name_or_path", "transformers_version", "dtype", "architectures"):
            config.pop(passing, None)
        place = next(encoder.parameters()).device.type
        libraries = [metadata.version(name) for name in ("torch", "transformers")]
        # Libraries and the size of a batch decide over the last bits.
        tokenized = split.tokenized
        key = [VERSION, encoder.checkpoint_sha256, config, tokenized, str(self.dtype), place, tokens, libraries]
        self.folder = cache / "features" / hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:32]

    def open(self, wanted: Mapping[FeatureSpec, Make]) -> Features:
        """The arrays, computed where they are not there or not whole.

        Args:
            wanted: what makes each of them from a batch.

        Raises:
            UserError: the cache folder cannot be written, or the disk is full.
        """
        try:
            if any(not self._whole(spec) for spec in wanted):
                self.folder.mkdir(parents=True, exist_ok=True)
                with self._locked():
                    missing = {
                        r: make for r, make in wanted.items() if not self._whole(r)
                    }  # another may have been here
                    if missing:
                        self._compute(missing)
            return Features({spec: torch.from_numpy(self._mapped(spec)) for spec in wanted})
        except OSError as error:
            size = sum(self._bytes(spec) for spec in wanted)
            told = cannot_be_written(f"cache_dir: {shown_bytes(size)} of features in {self.folder}", error)
            raise type(told)(f"{told}; or give another cache_dir, or speed=exact to do without") from error

    def shape(self, spec: FeatureSpec) -> tuple[int, int]:
        """Shape of a spec's array."""
        return int(unit_lengths(self.rows, spec.unit).sum()), spec.width

    def path(self, spec: FeatureSpec) -> Path:
        """Its file."""
        rule = hashlib.sha256(json.dumps([spec.rule, spec.unit, spec.width]).encode()).hexdigest()
        return self.folder / f"{spec.unit}-{rule[:16]}.npy"

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        lock = FileLock(self.folder / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            print(f"features of {self.name}: another process computes them; waiting", file=sys.stderr, flush=True)
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def _bytes(self, spec: FeatureSpec) -> int:
        return math.prod(self.shape(spec)) * self.dtype.itemsize

    def _whole(self, spec: FeatureSpec) -> bool:
        """Whether the file is there as it was written: shape, size and checksum."""
        path = self.path(spec)
        try:
            note = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
            same = note["shape"] == list(self.shape(spec)) and note["bytes"] == path.stat().st_size
            return same and note["xxh3"] == known_checksum(path)
        except (FileNotFoundError, json.JSONDecodeError, KeyError, TypeError):
            return False

    def _mapped(self, spec: FeatureSpec) -> np.ndarray:
        # Mapped copy-on-write: torch wants arrays that could be written to, and the file must stay as it is.
        return np.load(self.path(spec), mmap_mode="c")

    def _compute(self, missing: Mapping[FeatureSpec, Make]) -> None:
        self._clear()  # what a process left that was killed
        try:
            for spec, array in self._encoded(missing).items():
                array.flush()
                self._finish(spec)
        finally:
            self._clear()

    def _clear(self) -> None:
        for left in self.folder.glob("*.tmp"):
            left.unlink()

    def _encoded(self, missing: Mapping[FeatureSpec, Make]) -> dict[FeatureSpec, np.memmap]:
        """The arrays, filled by one pass of the encoder over the split."""
        rows = self.rows
        size = sum(self._bytes(spec) for spec in missing)
        if size >= LARGE:
            free = shown_bytes(shutil.disk_usage(self.folder).free)
            told = f"features of {self.name}, {len(rows)} rows: {shown_bytes(size)} in {self.folder}"
            print(f"{told}, where {free} are free", file=sys.stderr, flush=True)
        arrays = {spec: self._new(spec) for spec in missing}
        units = {spec.unit for spec in missing}
        places = {unit: places_of(rows, unit) for unit in units}
        with tqdm(
            total=int(rows.lengths.sum()), unit=" word pieces", unit_scale=True, mininterval=1,
            desc=f"encoding {self.name} ({shown_bytes(size)} of features in {self.folder})",
        ) as bar:  # fmt: skip
            for step in EvaluationBatches(rows.lengths, self.tokens):
                self._encode(step, missing, arrays, places)
                give_back_freed_memory()
                bar.update(int(rows.lengths[step.rows].sum()))
        return arrays

    def _encode(
        self,
        step: Step,
        missing: Mapping[FeatureSpec, Make],
        arrays: Mapping[FeatureSpec, np.memmap],
        places: Mapping[Unit, Places],
    ) -> None:
        """Fill in the vectors of a batch."""
        batch = self.rows.__getitems__(step).to(next(self.encoder.parameters()).device)
        with torch.inference_mode():
            output = self.encoder(
                batch.input_ids, batch.attention_mask, batch.token_type_ids, batch.special_tokens_mask
            )
            for spec, make in missing.items():
                arrays[spec][places[spec.unit].of(step.rows)] = make(output, batch).to("cpu", self.dtype).numpy()

    def _new(self, spec: FeatureSpec) -> np.memmap:
        """An array on disk whose place is taken: writing to a mapped file on a full disk kills the process."""
        temporary = self.path(spec).with_suffix(".tmp")
        dtype = np.dtype(str(self.dtype).removeprefix("torch."))
        array = np.lib.format.open_memmap(temporary, mode="w+", dtype=dtype, shape=self.shape(spec))
        if hasattr(os, "posix_fallocate"):
            with temporary.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, temporary.stat().st_size)
        return array

    def _finish(self, spec: FeatureSpec) -> None:
        path = self.path(spec)
        temporary = path.with_suffix(".tmp")
        with temporary.open("r+b") as file:
            os.fsync(file.fileno())
        note = {"shape": self.shape(spec), "bytes": temporary.stat().st_size, "xxh3": checksum(temporary)}
        temporary.replace(path)
        write_atomically(path.with_suffix(".json"), json.dumps(note) + "\n")


def unit_lengths(rows: TokenizedRows, unit: str) -> np.ndarray:
    """(N,) number of vectors of each row."""
    if unit == "row":
        return np.ones(len(rows), dtype=np.int64)
    return rows.starts.lengths if unit == "word" else rows.lengths


@dataclass(frozen=True)
class Places:
    """Where the vectors of each row stand in an array: `starts` and `lengths` (N,)."""

    starts: np.ndarray
    lengths: np.ndarray

    def of(self, rows: np.ndarray) -> np.ndarray:
        """Positions of the vectors of some rows, row after row."""
        return spans(self.starts[rows], self.lengths[rows])


def places_of(rows: TokenizedRows, unit: Unit, chosen: np.ndarray | None = None) -> Places:
    """Where the vectors of rows, or of each of their texts, stand, which follow each other.

    Args:
        chosen: numbers of those that are asked for; None for all.
    """
    lengths = unit_lengths(rows.each_text(), unit)
    starts = np.cumsum(lengths) - lengths
    if chosen is None:
        return Places(starts, lengths)
    texts = rows.sequences(chosen)
    return Places(starts[texts], lengths[texts])


def padded(array: Tensor, mask: Tensor, places: Tensor) -> Tensor:
    """(B, U, width): the vectors at some places of an array, row after row, where the mask (B, U) is True; else 0."""
    out = array.new_zeros(*mask.shape, array.shape[-1])
    out[mask] = array.index_select(0, places)
    return out
