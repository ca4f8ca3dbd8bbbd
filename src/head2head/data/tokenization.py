"""Texts -> word pieces, in batches and cached on disk; what was lost on the way is counted."""

from __future__ import annotations

import functools
import hashlib
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from head2head.errors import UserError
from head2head.files import cannot_be_written, checksum, clear_abandoned, known_checksum, write_atomically

VERSION = 1  # raise when the columns or their meaning change: cached files carry it in their name


def fingerprint(dataset: Dataset) -> str:
    """Hash of a dataset's content, column by column; the same wherever it was read from."""
    digest = hashlib.sha256()
    for name in sorted(dataset.column_names):
        # [:] makes one list of a column; row by row takes a thousand times as long.
        digest.update(json.dumps([name, dataset[name][:]], ensure_ascii=False).encode())
    return digest.hexdigest()


def tokenize(
    dataset: Dataset,
    kind: str,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    cache_dir: Path,
    description: str,
    context: str = "sentence",
    content: str | None = None,
    apart: bool = False,
) -> Dataset:
    """Word pieces of every example.

    Sentence tasks give a row an example: `input_ids`, `token_type_ids`, `special_tokens_mask`, `words_lost`
    (by truncation) and `label` where there is one. Token tasks give a row a window: the same, and for the
    window's words `starts`, `ends` (their pieces), `units` (the word's number in the split; -1 for a
    word that another window predicts) and `labels` (-100 there). Pairs whose texts are read apart give
    a row a text, all first texts and then all second ones.

    The result is cached by content: the data, the tokenizer and the settings.

    Args:
        content: the dataset's fingerprint; computed when it is not given.
        apart: each text of a pair is tokenized, and cut to `max_length`, alone.

    Raises:
        UserError: `max_length` leaves no room for a word piece, or the cache cannot be written.
    """
    pair = "text_pair" in dataset.column_names and not apart
    least = tokenizer.num_special_tokens_to_add(pair) + 1 + pair
    if max_length < least:
        raise UserError(f"task.max_length={max_length}: give {least} or more word pieces, special tokens included")
    # Truncation and padding are only what the tokenizer's last call left there.
    rules = json.loads(tokenizer.backend_tokenizer.to_str()) | {"truncation": None, "padding": None}
    settings = [VERSION, kind, max_length, context, content or fingerprint(dataset), rules]
    if apart:
        settings.append("apart")
    name = hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:32]
    cached = cache_dir / f"{name}.arrow"
    function, source = to_be_mapped(dataset, kind, context, apart)
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        clear_abandoned(cache_dir, "tmp*")
        mapped = functools.partial(
            source.map,
            function,
            batched=True,
            fn_kwargs={"tokenizer": tokenizer, "max_length": max_length},
            remove_columns=source.column_names,
            new_fingerprint=name,
            desc=f"tokenizing {description}",
        )
        if not is_whole(cached):  # made apart: datasets leaves files behind when the disk is full
            with tempfile.TemporaryDirectory(dir=cache_dir) as scratch:
                made = Path(scratch, cached.name)
                mapped(cache_file_name=str(made))
                made.replace(cached)
            write_note(cached)
        return mapped(cache_file_name=str(cached))
    except OSError as error:
        raise cannot_be_written(f"cache_dir: {cache_dir}", error) from error


def to_be_mapped(
    dataset: Dataset, kind: str, context: str, apart: bool
) -> tuple[Callable[..., dict[str, list]], Dataset]:
    """What tokenizes a task's rows, and these with what it needs to know of each."""
    if kind != "token":
        return sentences, texts_of_pairs(dataset) if apart else dataset
    numbered = dataset.add_column("first_unit", first_units(dataset["tokens"][:]))
    return token_windows, with_neighbours(numbered) if context == "document" else numbered


def tokenize_some(
    dataset: Dataset,
    kind: str,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    context: str = "sentence",
    apart: bool = False,
) -> Dataset:
    """What `tokenize` gives, in memory, for rows that are seen once and are no whole split."""
    function, source = to_be_mapped(dataset, kind, context, apart)
    return Dataset.from_dict(function(source[:], tokenizer=tokenizer, max_length=max_length))


def is_whole(path: Path) -> bool:
    """Whether a file is there as it was written, by the checksum in the note beside it."""
    try:
        note = json.loads(note_of(path).read_text(encoding="utf-8"))
        return note["bytes"] == path.stat().st_size and note["xxh3"] == known_checksum(path)
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return False


def write_note(path: Path) -> None:
    """Note what a file is like that is whole now."""
    note = {"bytes": path.stat().st_size, "xxh3": checksum(path)}
    write_atomically(note_of(path), json.dumps(note) + "\n")


def note_of(path: Path) -> Path:
    """The note beside a file: its size and checksum."""
    return path.with_suffix(".json")


def sentences(rows: dict[str, list], tokenizer: PreTrainedTokenizerBase, max_length: int) -> dict[str, list]:
    """Columns of a sentence task's batch. The longer text of a pair is truncated first, as BERT does."""
    texts = [rows["text"]] + ([rows["text_pair"]] if "text_pair" in rows else [])
    options = {"return_special_tokens_mask": True, "return_token_type_ids": True}
    encoded = tokenizer(*texts, truncation=False, verbose=False, **options)
    columns = {name: list(encoded[name]) for name in ("input_ids", "token_type_ids", "special_tokens_mask")}
    lost = [0] * len(rows["text"])
    long = [i for i, ids in enumerate(columns["input_ids"]) if len(ids) > max_length]
    if long:
        cut = tokenizer(
            *([text[i] for i in long] for text in texts), truncation="longest_first", max_length=max_length, **options
        )
        for place, i in enumerate(long):
            lost[i] = count_words(encoded, i) - count_words(cut, place)
            for name, column in columns.items():
                column[i] = cut[name][place]
    columns["words_lost"] = lost
    if "label" in rows:
        columns["label"] = rows["label"]
    return columns


def texts_of_pairs(dataset: Dataset) -> Dataset:
    """Every text of some pairs, with the pair's label: all first texts, then all second ones."""
    labels = {"label": 2 * dataset["label"][:]} if "label" in dataset.column_names else {}
    return Dataset.from_dict({"text": [*dataset["text"][:], *dataset["text_pair"][:]]} | labels)


def count_words(encoded: Any, i: int) -> int:
    """Number of words of an example that have at least one piece."""
    places = zip(encoded.sequence_ids(i), encoded.word_ids(i), strict=True)
    return len({place for place in places if place[1] is not None})


def first_units(tokens: Sequence[Sequence[str]]) -> list[int]:
    """Number of each sentence's first word in the split."""
    numbers, total = [], 0
    for words in tokens:
        numbers.append(total)
        total += len(words)
    return numbers


def with_neighbours(dataset: Dataset) -> Dataset:
    """Each sentence with what comes before and after it in its document."""
    tokens, documents = dataset["tokens"][:], dataset["document"][:]
    before: list[list[str]] = []
    behind: list[list[str]] = []
    reach = 512  # words; more than any encoder can read
    for i, document in enumerate(documents):
        left: list[str] = []
        for j in range(i - 1, -1, -1):
            if documents[j] != document or len(left) >= reach:
                break
            left = tokens[j] + left
        right: list[str] = []
        for j in range(i + 1, len(tokens)):
            if documents[j] != document or len(right) >= reach:
                break
            right = right + tokens[j]
        before.append(left[-reach:])
        behind.append(right[:reach])
    return dataset.add_column("before", before).add_column("behind", behind)


def token_windows(rows: dict[str, list], tokenizer: PreTrainedTokenizerBase, max_length: int) -> dict[str, list]:
    """Columns of a token task's batch: one or more windows a sentence."""
    names = ("input_ids", "token_type_ids", "special_tokens_mask", "starts", "ends", "units", "words_lost")
    columns: dict[str, list] = {name: [] for name in names}
    if "tags" in rows:
        columns["labels"] = []
    room = max_length - 2
    for i, tokens in enumerate(rows["tokens"]):
        before = rows["before"][i] if "before" in rows else []
        behind = rows["behind"][i] if "behind" in rows else []
        pieces = word_pieces([*before, *tokens, *behind], tokenizer)
        cut = sum(len(p) > room for p in pieces[len(before) : len(before) + len(tokens)])
        pieces = [p[:room] for p in pieces]
        sizes = [len(p) for p in pieces]
        for start, end, owned in windows(sizes, room, len(before), len(before) + len(tokens)):
            ids = [tokenizer.cls_token_id]
            starts, ends, units, labels = [], [], [], []
            for word in range(start, end):
                if not pieces[word]:
                    continue  # nothing stands for it in the window: it is predicted O
                starts.append(len(ids))
                ids += pieces[word]
                ends.append(len(ids))
                place = word - len(before)
                units.append(rows["first_unit"][i] + place if word in owned else -1)
                if "tags" in rows:
                    labels.append(rows["tags"][i][place] if word in owned else -100)
            if not any(unit >= 0 for unit in units):
                continue
            ids.append(tokenizer.sep_token_id)
            columns["input_ids"].append(ids)
            columns["token_type_ids"].append([0] * len(ids))
            columns["special_tokens_mask"].append([1] + [0] * (len(ids) - 2) + [1])
            columns["starts"].append(starts)
            columns["ends"].append(ends)
            columns["units"].append(units)
            columns["words_lost"].append(cut)
            if "tags" in rows:
                columns["labels"].append(labels)
            cut = 0
    return columns


def word_pieces(words: list[str], tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    """The pieces of each word; none for a word that the tokenizer cleans away (a lone U+200E, say)."""
    if not words:
        return []
    encoded = tokenizer(words, is_split_into_words=True, add_special_tokens=False, truncation=False, verbose=False)
    pieces: list[list[int]] = [[] for _ in words]
    for piece, word in zip(encoded["input_ids"], encoded.word_ids(0), strict=True):
        pieces[word].append(piece)
    return pieces


def windows(sizes: Sequence[int], room: int, first: int, last: int) -> list[tuple[int, int, range]]:
    """Cut words into windows of at most `room` pieces; predict each word of first..last-1 in one of them.

    Words that fit together with their sentence stay in one window, and what room is left goes to the
    words around, as evenly as it can. A sentence that does not fit is cut into windows that overlap by
    half, and each of its words is predicted where the nearer edge of the window is furthest away.

    Args:
        sizes: number of pieces of each word, none above `room`.

    Returns:
        (start, end, words to predict) for each window, in order.
    """
    if sum(sizes[first:last]) <= room:
        start, end = widen(sizes, room, first, last)
        return [(start, end, range(first, last))]
    cuts: list[tuple[int, int]] = []
    start = first
    while True:
        end, used = start, 0
        while end < last and used + sizes[end] <= room:
            used += sizes[end]
            end += 1
        cuts.append((start, end))
        if end == last:
            break
        half = start
        while half < end and sum(sizes[start:half]) < room // 2:
            half += 1
        start = max(start + 1, min(half, end))
        while sum(sizes[start : end + 1]) > room:  # the next window must reach beyond this one
            start += 1
    ahead = [0]
    for size in sizes:
        ahead.append(ahead[-1] + size)
    owner = {}
    for word in range(first, last):
        holding = [i for i, (a, b) in enumerate(cuts) if a <= word < b]
        owner[word] = max(
            holding, key=lambda i: min(ahead[word] - ahead[cuts[i][0]], ahead[cuts[i][1]] - ahead[word + 1])
        )
    result = []
    for i, (a, b) in enumerate(cuts):
        owned = [word for word in range(a, b) if owner[word] == i]
        if owned:
            result.append((a, b, range(owned[0], owned[-1] + 1)))
    return result


def widen(sizes: Sequence[int], room: int, start: int, end: int) -> tuple[int, int]:
    """Take in words from both sides, turn by turn, while they fit."""
    left = room - sum(sizes[start:end])
    while True:
        taken = False
        if start > 0 and sizes[start - 1] <= left:
            start -= 1
            left -= sizes[start]
            taken = True
        if end < len(sizes) and sizes[end] <= left:
            left -= sizes[end]
            end += 1
            taken = True
        if not taken:
            return start, end
