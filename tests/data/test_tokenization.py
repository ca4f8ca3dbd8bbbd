"""Word pieces equal to the tokenizer's own, what truncation loses, the cache, and the windows of token tasks."""

import errno
import os

import numpy as np
import pytest
from datasets import Dataset
from datasets.arrow_writer import ArrowWriter
from transformers import AutoTokenizer

from head2head.data import tokenization
from head2head.data.tokenization import fingerprint, is_whole, tokenize, windows
from head2head.data.vocabulary import built_in_tokenizer
from head2head.errors import Unwritable, UserError

COLUMNS = ("input_ids", "token_type_ids", "special_tokens_mask")
TEXTS = [
    "The keys near the cabinets are here .",
    "",
    "Don't you (ever) forget 3.14 caf\u00e9s \u2014 na\u00efve \u4f60\u597d \u200e!",
    "the " * 60 + "end",
    "whisper",
]


@pytest.fixture(scope="module", params=["built-in", "minilm"])
def tokenizer(request):
    if request.param == "built-in":
        return built_in_tokenizer()
    return AutoTokenizer.from_pretrained(request.getfixturevalue("minilm_folder"))


@pytest.fixture
def small():
    return built_in_tokenizer()


def call(rows, tokenizer, folder, max_length=16, kind="sentence", context="sentence"):
    table = rows if isinstance(rows, Dataset) else Dataset.from_dict(rows)
    return tokenize(table, kind, tokenizer, max_length, folder, "made-up", context)


@pytest.mark.parametrize("max_length", [8, 512])
def test_single_texts_equal_a_direct_call_of_the_tokenizer(tokenizer, tmp_path, max_length):
    found = call({"text": TEXTS, "label": [0, 1, 0, 1, 0]}, tokenizer, tmp_path, max_length)
    expected = tokenizer(TEXTS, truncation=True, max_length=max_length, return_special_tokens_mask=True)
    assert {name: list(found[name]) for name in COLUMNS} == {name: expected[name] for name in COLUMNS}
    assert list(found["label"]) == [0, 1, 0, 1, 0]


@pytest.mark.parametrize("max_length", [9, 512])
def test_pairs_equal_a_direct_call_of_the_tokenizer(tokenizer, tmp_path, max_length):
    others = TEXTS[::-1]
    found = call({"text": TEXTS, "text_pair": others}, tokenizer, tmp_path, max_length)
    expected = tokenizer(
        TEXTS, others, truncation="longest_first", max_length=max_length, return_special_tokens_mask=True
    )
    assert {name: list(found[name]) for name in COLUMNS} == {name: expected[name] for name in COLUMNS}
    assert "label" not in found.column_names


def test_the_known_word_pieces_of_the_bert_vocabulary(minilm_folder, tmp_path):
    found = call(
        {"text": ["Let's see all hidden-states and attentions on this text"]},
        AutoTokenizer.from_pretrained(minilm_folder),
        tmp_path,
        max_length=64,
    )
    assert found[0]["input_ids"] == [
        101, 2292, 1005, 1055, 2156, 2035, 5023, 1011, 2163, 1998, 3086, 2015, 2006, 2023, 3793, 102,
    ]  # fmt: skip


def test_words_lost_to_truncation_are_counted_per_example(small, tmp_path):
    texts = ["the key is here", "the key", "the key near the old cabinet is here ."]
    found = call({"text": texts}, small, tmp_path, max_length=6)
    # "cabinet" is spelled in characters; the first four words fill the room.
    assert list(found["words_lost"]) == [0, 0, 5]
    assert [len(ids) for ids in found["input_ids"]] == [6, 4, 6]


def test_a_word_cut_in_its_middle_is_not_lost(small, tmp_path):
    found = call({"text": ["the zzzz zz"]}, small, tmp_path, max_length=5)
    assert list(found["words_lost"]) == [1]


def test_words_lost_of_pairs_are_counted_over_both_texts(small, tmp_path):
    rows = {"text": ["the key is here", "the"], "text_pair": ["the door", "the"]}
    found = call(rows, small, tmp_path, max_length=7)
    assert list(found["words_lost"]) == [2, 0]
    assert [len(ids) for ids in found["input_ids"]] == [7, 5]


@pytest.mark.parametrize(("rows", "least"), [({"text": ["a b"]}, 3), ({"text": ["a b"], "text_pair": ["c d"]}, 5)])
def test_a_max_length_without_room_for_words_is_an_error(small, tmp_path, rows, least):
    for max_length in (0, 1, least - 1):
        with pytest.raises(UserError, match=f"task.max_length={max_length}: give {least} or more"):
            call(rows, small, tmp_path, max_length)
    assert len(call(rows, small, tmp_path, least)[0]["input_ids"]) == least


def test_token_tasks_check_max_length_too(small, tmp_path):
    with pytest.raises(UserError, match=r"task.max_length=1: give 3 or more"):
        call({"tokens": [["a", "b"]]}, small, tmp_path, 1, "token")


# The cache


@pytest.fixture
def calls(monkeypatch):
    """How many batches have been tokenized rather than read from the cache."""
    counted = []
    original = tokenization.sentences
    monkeypatch.setattr(
        tokenization, "sentences", lambda *args, **kwargs: counted.append(1) or original(*args, **kwargs)
    )
    return counted


ROWS = {"text": ["the key is here", "the door " * 30], "label": [0, 1]}


def test_a_second_call_reads_the_cache(tmp_path, calls):
    first = call(ROWS, built_in_tokenizer(), tmp_path)
    assert len(calls) == 1
    second = call(ROWS, built_in_tokenizer(), tmp_path)
    assert len(calls) == 1
    assert second.to_list() == first.to_list()


def test_the_cache_is_found_whatever_the_tokenizer_was_used_for_before(tmp_path, calls):
    tokenizer = built_in_tokenizer()
    call(ROWS, tokenizer, tmp_path)
    tokenizer(["the key"], truncation=True, max_length=3, padding="max_length")
    call(ROWS, tokenizer, tmp_path)
    assert len(calls) == 1
    assert len(list(tmp_path.glob("*.arrow"))) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"max_length": 17},
        {"rows": ROWS | {"label": [1, 1]}},
        {"rows": ROWS | {"text": ["the key is here", "the door " * 29]}},
        {"rows": ROWS | {"text_pair": ["a", "b"]}},
        {"rows": {"text": ROWS["text"][::-1], "label": [0, 1]}},
    ],
)
def test_other_content_or_settings_have_a_cache_of_their_own(small, tmp_path, calls, change):
    call(ROWS, small, tmp_path)
    found = call(**({"rows": ROWS} | change), tokenizer=small, folder=tmp_path)
    assert len(calls) == 2
    assert len(list(tmp_path.glob("*.arrow"))) == 2
    fresh = call(**({"rows": ROWS} | change), tokenizer=small, folder=tmp_path / "other")
    assert found.to_list() == fresh.to_list()


def test_another_tokenizer_has_a_cache_of_its_own(small, tmp_path, calls):
    other = type(small)(vocab={piece: number for number, piece in enumerate(list(small.get_vocab())[::-1])})
    assert call(ROWS, small, tmp_path).to_list() != call(ROWS, other, tmp_path).to_list()
    assert len(calls) == 2


@pytest.mark.parametrize("folder", ["/proc/x", "a file/x"])
def test_a_cache_that_cannot_be_written_is_a_user_error(small, tmp_path, folder):
    (tmp_path / "a file").write_text("")
    folder = tmp_path / folder
    with pytest.raises(UserError, match=f"^cache_dir: {folder} cannot be written: .+"):
        call(ROWS, small, folder)


def test_a_fingerprint_that_is_known_is_not_computed_again(small, tmp_path, monkeypatch):
    rows = Dataset.from_dict(ROWS)
    known = fingerprint(rows)
    call(rows, small, tmp_path)
    monkeypatch.setattr(tokenization, "fingerprint", lambda _: pytest.fail("computed again"))
    tokenize(rows, "sentence", small, 16, tmp_path, "made-up", content=known)
    assert len(list(tmp_path.glob("*.arrow"))) == 1


MANY = {"text": [f"the key {i} is here" for i in range(2500)], "label": [i % 2 for i in range(2500)]}


def message_ends(content):
    """Where the messages of an Arrow stream end: cut there, it reads as a shorter stream."""
    import io

    import pyarrow

    stream = io.BytesIO(content)
    reader, ends = pyarrow.MessageReader.open_stream(stream), []
    while True:
        try:
            reader.read_next_message()
        except StopIteration:
            return ends
        ends.append(stream.tell())


@pytest.mark.parametrize("damage", ["empty", "start", "half", "end of a batch", "garbage", "one byte", "no note"])
def test_a_broken_cache_file_is_built_anew(small, tmp_path, damage):
    expected = call(MANY, small, tmp_path).to_list()
    (file,) = tmp_path.glob("*.arrow")
    content = file.read_bytes()
    ends = message_ends(content)
    assert len(ends) > 2
    middle = content.index(np.array(expected[0]["input_ids"], dtype=np.int32).tobytes())  # a word piece's number
    broken = {
        "empty": b"",
        "start": content[:100],
        "half": content[: len(content) // 2],
        "end of a batch": content[: ends[1]],
        "garbage": b"garbage " * 100,
        "one byte": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
        "no note": content,
    }[damage]
    if damage == "no note":
        file.with_suffix(".json").unlink()
    file.unlink()  # the mapped file stays as it is
    file.write_bytes(broken)
    assert not is_whole(file)
    assert call(MANY, small, tmp_path).to_list() == expected
    assert is_whole(file)


def test_without_the_checksum_one_byte_trains_on_other_word_pieces(small, tmp_path, monkeypatch):
    expected = call(MANY, small, tmp_path).to_list()
    (file,) = tmp_path.glob("*.arrow")
    content = bytearray(file.read_bytes())
    content[content.index(np.array(expected[0]["input_ids"], dtype=np.int32).tobytes())] ^= 1
    file.unlink()
    file.write_bytes(content)
    monkeypatch.setattr(tokenization, "is_whole", lambda _: True)
    assert call(MANY, small, tmp_path).to_list() != expected


def test_on_a_full_disk_nothing_is_left_half_written(small, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(ArrowWriter, "finalize", full)
    with pytest.raises(Unwritable, match=f"^cache_dir: {tmp_path} cannot be written: No space left on device; make"):
        call(MANY, small, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_cleared_a_day_later(small, tmp_path):
    old, new = tmp_path / "tmpold", tmp_path / "tmpnew"
    for path in (old, new):
        path.mkdir()
        (path / "x.arrow").write_bytes(b"half")
    os.utime(old, (0, 0))
    call(MANY, small, tmp_path)
    assert not old.exists()
    assert new.exists()


def test_the_fingerprint_is_of_the_content():
    rows = {"text": ["a", "b"], "label": [0, 1]}
    same = Dataset.from_dict({"label": [9, 0, 1], "text": ["x", "a", "b"]}).select([1, 2])
    assert fingerprint(same) == fingerprint(Dataset.from_dict(rows))
    for other in ({"text": ["a", "c"]}, {"text": ["ab", ""]}, {"label": [1, 0]}):
        assert fingerprint(Dataset.from_dict(rows | other)) != fingerprint(Dataset.from_dict(rows))
    renamed = Dataset.from_dict({"texts": ["a", "b"], "label": [0, 1]})
    assert fingerprint(renamed) != fingerprint(Dataset.from_dict(rows))


# Token tasks


def test_words_without_tags_have_no_labels(small, tmp_path):
    for context in ("sentence", "document"):
        rows = {"tokens": [["the", "key"], ["door"]], "document": [0, 0]}
        found = call(rows, small, tmp_path, 16, "token", context)
        assert "labels" not in found.column_names
        assert set(predicted(found)) == {0, 1, 2}


def predicted(found):
    """word number -> (its pieces, its label, window)"""
    words = {}
    for window, row in enumerate(found):
        assert len(row["input_ids"]) == len(row["token_type_ids"]) == len(row["special_tokens_mask"])
        labels = row.get("labels", [None] * len(row["units"]))
        for start, end, unit, label in zip(row["starts"], row["ends"], row["units"], labels, strict=True):
            if unit < 0:
                assert label in (-100, None)
                continue
            assert unit not in words
            words[unit] = (row["input_ids"][start:end], label, window)
    return words


def pieces_of(word, tokenizer):
    return tokenizer(word, add_special_tokens=False)["input_ids"]


def test_words_equal_a_direct_call_of_the_tokenizer_on_split_words(tokenizer, tmp_path):
    sentences = [["The", "keys", "don't", "fit", "U.N.", "."], ["whisper"], ["caf\u00e9", "\u200e", "3.14"]]
    found = call({"tokens": sentences}, tokenizer, tmp_path, 64, "token")
    expected = tokenizer(sentences, is_split_into_words=True, return_special_tokens_mask=True)
    assert {name: list(found[name]) for name in COLUMNS} == {name: expected[name] for name in COLUMNS}
    for i, row in enumerate(found):
        places = expected.word_ids(i)
        kept = sorted({place for place in places if place is not None})
        assert row["starts"] == [places.index(word) for word in kept]
        assert row["ends"] == [len(places) - places[::-1].index(word) for word in kept]
    assert "labels" not in found.column_names


def test_units_number_the_words_of_the_split_and_labels_follow_them(small, tmp_path):
    rows = {"tokens": [["the", "zz"], ["door"], ["is", "here"]], "tags": [[0, 1], [2], [3, 4]]}
    words = predicted(call(rows, small, tmp_path, 64, "token"))
    assert {unit: label for unit, (_, label, _) in words.items()} == {0: 0, 1: 1, 2: 2, 3: 3, 4: 4}
    flat = [word for tokens in rows["tokens"] for word in tokens]
    assert all(pieces == pieces_of(flat[unit], small) for unit, (pieces, _, _) in words.items())


@pytest.mark.parametrize("nothing", ["\u200e", "", "\u00ad", "\ufeff"])
def test_a_word_without_pieces_shifts_no_label_and_keeps_its_number(tokenizer, tmp_path, nothing):
    rows = {"tokens": [["the", nothing, "door"], [nothing], ["here"]], "tags": [[1, 2, 3], [4], [5]]}
    words = predicted(call(rows, tokenizer, tmp_path, 16, "token"))
    assert {unit: label for unit, (_, label, _) in words.items()} == {0: 1, 2: 3, 4: 5}
    assert words[2][0] == pieces_of("door", tokenizer)


def test_a_word_longer_than_a_window_is_cut_and_counted(small, tmp_path):
    rows = {"tokens": [["the", "z" * 30, "door"], ["here"]], "tags": [[1, 2, 3], [4]]}
    found = call(rows, small, tmp_path, 10, "token")
    words = predicted(found)
    assert {unit: label for unit, (_, label, _) in words.items()} == {0: 1, 1: 2, 2: 3, 3: 4}
    assert words[1][0] == pieces_of("z" * 30, small)[:8]
    assert sum(found["words_lost"]) == 1
    assert max(len(ids) for ids in found["input_ids"]) == 10


def test_every_word_of_random_sentences_is_predicted_once_with_its_label(small, tmp_path):
    rng = np.random.default_rng(0)
    tokens = [
        ["".join(rng.choice(list("abc\u200e"), size=rng.integers(1, 6))) for _ in range(rng.integers(1, 40))]
        for _ in range(60)
    ]
    flat = [word for words in tokens for word in words]
    numbers = iter(range(len(flat)))
    tags = [[next(numbers) for _ in words] for words in tokens]
    found = call({"tokens": tokens, "tags": tags}, small, tmp_path, 12, "token")
    words = predicted(found)
    assert set(words) == {i for i, word in enumerate(flat) if word.strip("\u200e")}
    assert all(label == unit for unit, (_, label, _) in words.items())
    assert all(pieces == pieces_of(flat[unit], small) for unit, (pieces, _, _) in words.items())
    assert max(len(ids) for ids in found["input_ids"]) <= 12
    assert len(found) > len(tokens)


def check_cuts(sizes, room, first, last):
    """What holds for the windows of any sentence."""
    cuts = windows(sizes, room, first, last)
    assert sorted(word for _, _, owned in cuts for word in owned) == list(range(first, last))
    for start, end, owned in cuts:
        assert owned
        assert start <= owned[0] <= owned[-1] < end
        assert sum(sizes[start:end]) <= room
    return cuts


def test_every_word_is_predicted_once_where_it_has_the_most_context():
    rng = np.random.default_rng(1)
    several = 0
    for _ in range(1500):
        room = int(rng.integers(1, 20))
        sizes = rng.integers(0, min(room, int(rng.integers(1, 8))) + 1, size=rng.integers(1, 60)).tolist()
        cuts = check_cuts(sizes, room, 0, len(sizes))
        several += len(cuts) > 2
        for _, _, owned in cuts:
            for word in owned:

                def context(cut, word=word, sizes=sizes):
                    return min(sum(sizes[cut[0] : word]), sum(sizes[word + 1 : cut[1]]))

                (own,) = (cut for cut in cuts if word in cut[2])
                assert context(own) == max(context(cut) for cut in cuts if cut[0] <= word < cut[1])
    assert several > 300


def test_long_sentences_are_cut_into_windows_that_overlap_by_half():
    assert check_cuts([1] * 12, 8, 0, 12) == [(0, 8, range(0, 6)), (4, 12, range(6, 12))]


def test_neighbours_fill_a_window_evenly_and_are_not_predicted():
    rng = np.random.default_rng(2)
    for _ in range(500):
        room = int(rng.integers(2, 20))
        sizes = rng.integers(0, min(room, 3) + 1, size=rng.integers(1, 40)).tolist()
        first = int(rng.integers(0, len(sizes)))
        last = int(rng.integers(first + 1, len(sizes) + 1))
        cuts = check_cuts(sizes, room, first, last)
        if sum(sizes[first:last]) <= room:
            ((start, end, _),) = cuts
            assert start == 0 or sum(sizes[start - 1 : end]) > room
            assert end == len(sizes) or sum(sizes[start : end + 1]) > room
    assert check_cuts([1] * 20, 8, 9, 11) == [(6, 14, range(9, 11))]


DOCUMENTS = {
    "tokens": [["the", "door"], ["is", "here"], ["old", "key"], ["a", "cat"], ["has", "moved"]],
    "tags": [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]],
    "document": [0, 0, 0, 1, 1],
}


def test_document_context_reads_neighbours_of_the_same_document_and_predicts_own_words(small, tmp_path):
    found = call(DOCUMENTS, small, tmp_path, 32, "token", "document")
    documents = ["the door is here old key", "a cat has moved"]
    for i, row in enumerate(found):
        text = documents[DOCUMENTS["document"][i]]
        assert row["input_ids"] == small(text)["input_ids"]
        assert [unit for unit in row["units"] if unit >= 0] == [2 * i, 2 * i + 1]
        assert [label for label in row["labels"] if label != -100] == [2 * i, 2 * i + 1]
    assert len(found) == 5


def test_document_context_takes_the_nearest_words_that_fit(small, tmp_path):
    found = call(DOCUMENTS, small, tmp_path, 6, "token", "document")
    assert found[1]["input_ids"] == small("door is here old")["input_ids"]
    assert found[1]["units"] == [-1, 2, 3, -1]
    assert found[0]["input_ids"] == small("the door is here")["input_ids"]


def test_without_document_context_a_sentence_stands_alone(small, tmp_path):
    found = call(DOCUMENTS, small, tmp_path, 32, "token")
    assert [row["input_ids"] for row in found] == [small(" ".join(t))["input_ids"] for t in DOCUMENTS["tokens"]]


def test_document_context_predicts_long_sentences_whole(small, tmp_path):
    rows = {"tokens": [["a"] * 3, ["b"] * 30, ["c"] * 3], "document": [0, 0, 0]}
    words = predicted(call(rows, small, tmp_path, 10, "token", "document"))
    assert [small.decode(words[unit][0]) for unit in range(36)] == ["a"] * 3 + ["b"] * 30 + ["c"] * 3


def test_the_real_sentences_have_every_word_predicted_once(make_task, real_data, minilm_folder, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(minilm_folder)
    rows = make_task("conll2003", data_dir=real_data).read("validation").select(range(1000))
    found = call(rows, tokenizer, tmp_path, 24, "token")
    gold = [tag for tags in rows["tags"] for tag in tags]
    words = predicted(found)
    assert sorted(words) == list(range(len(gold)))
    assert [words[unit][1] for unit in range(len(gold))] == gold
