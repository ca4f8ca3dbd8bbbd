"""Tag schemes and the entities they spell."""

import random

import numpy as np
import pytest

from head2head.data.entities import detect_scheme, iob2_labels, parse_tag, sentence_starts, spans, to_iob2

Entity = tuple[int, int, str]  # first word, last word, type


def write_tags(entities: list[Entity], length: int, scheme: str) -> list[str]:
    """The tags of non-overlapping entities in a sentence, written independently of the code under test."""
    tags = ["O"] * length
    end, single = {"BILOU": ("L", "U")}.get(scheme, ("E", "S"))
    for start, stop, type_ in entities:
        for word in range(start, stop + 1):
            tags[word] = f"I-{type_}"
        if scheme == "IOB2":
            tags[start] = f"B-{type_}"
        elif scheme == "IOB1":
            if any(other[1] == start - 1 and other[2] == type_ for other in entities):
                tags[start] = f"B-{type_}"
        elif start == stop:
            tags[start] = f"{single}-{type_}"
        else:
            tags[start], tags[stop] = f"B-{type_}", f"{end}-{type_}"
    return tags


def random_sentence(rng: random.Random) -> tuple[list[Entity], int]:
    length = rng.randint(1, 12)
    entities, word = [], 0
    while word < length:
        stop = min(length - 1, word + rng.randint(0, 2))
        if rng.random() < 0.5:
            entities.append((word, stop, rng.choice(["PER", "LOC", "MISC-X"])))
        word = stop + 1
    return entities, length


def conlleval_chunks(tags: list[str]) -> set[Entity]:
    """Chunks of one sentence, by the rules of the Perl script written out one by one."""
    chunks, start = set(), None
    previous, previous_type = "O", ""
    for word, tag in enumerate([*tags, "O"]):
        prefix, _, type_ = tag.partition("-")
        ends = (
            (previous in "BI" and prefix in "BO")
            or (previous == "E" and prefix in "EIOB")
            or (previous != "O" and previous_type != type_)
        )
        starts = (
            prefix == "B"
            or (previous == "O" and prefix in "IE")
            or (previous == "E" and prefix in "EI")
            or (prefix != "O" and previous_type != type_)
        )
        if start is not None and ends:
            chunks.add((start, word - 1, previous_type))
            start = None
        if starts:
            start = word
        previous, previous_type = prefix, type_
    return chunks


def chunks_of(sentences: list[list[str]]) -> list[tuple[int, int, int]]:
    parsed = [parse_tag(tag) for tags in sentences for tag in tags]
    names = sorted({type_ for _, type_ in parsed})
    found = spans(
        np.array([prefix for prefix, _ in parsed]),
        np.array([names.index(type_) for _, type_ in parsed]),
        sentence_starts([len(tags) for tags in sentences]),
    )
    return [(int(a), int(b), names[t]) for a, b, t in zip(found.start, found.end, found.type, strict=True)]


@pytest.mark.parametrize(
    ("tags", "scheme"),
    [
        (["I-PER", "I-PER", "O"], "IOB1"),
        (["O", "I-LOC", "B-LOC"], "IOB1"),
        (["B-PER", "I-LOC"], "IOB1"),
        (["B-PER", "I-PER", "O", "B-LOC"], "IOB2"),
        (["O", "O"], "IOB2"),
        (["B-PER", "E-PER", "O"], "BIOES"),
        (["S-LOC", "O"], "BIOES"),
        (["B-PER", "I-PER", "L-PER"], "BILOU"),
        (["U-LOC", "O"], "BILOU"),
    ],
)
def test_scheme_is_detected(tags, scheme):
    assert detect_scheme([["O"], tags]) == scheme


def test_an_entity_at_a_sentence_start_shows_iob1_whatever_the_sentence_before_ended_with():
    assert detect_scheme([["O", "B-PER"], ["I-PER", "O"]]) == "IOB1"


def test_adjacent_iob1_entities_are_kept_apart():
    assert to_iob2([["I-LOC", "B-LOC", "I-LOC", "I-PER", "O"]]) == [["B-LOC", "B-LOC", "I-LOC", "B-PER", "O"]]


def test_bioes_singles_and_ends_become_iob2():
    tags = [["S-PER", "S-PER", "B-LOC", "I-LOC", "E-LOC", "B-LOC", "E-LOC", "O"]]
    assert to_iob2(tags) == [["B-PER", "B-PER", "B-LOC", "I-LOC", "I-LOC", "B-LOC", "I-LOC", "O"]]


def test_bilou_units_and_lasts_become_iob2():
    tags = [["U-PER", "B-LOC", "L-LOC", "U-LOC"], ["O"]]
    assert to_iob2(tags) == [["B-PER", "B-LOC", "I-LOC", "B-LOC"], ["O"]]


def test_entities_do_not_cross_sentences():
    assert to_iob2([["O", "I-PER"], [], ["I-PER", "O"]]) == [["O", "B-PER"], [], ["B-PER", "O"]]


def test_iob2_stays_as_it_is():
    tags = [["B-PER", "I-PER", "B-PER", "O", "B-LOC"], ["O"]]
    assert to_iob2(tags) == tags
    assert to_iob2([]) == []


@pytest.mark.parametrize("scheme", ["IOB1", "IOB2", "BIOES", "BILOU"])
def test_random_entities_survive_the_way_through_every_scheme(scheme):
    rng = random.Random(0)
    for _ in range(200):
        document = [random_sentence(rng) for _ in range(rng.randint(1, 5))]
        written = [write_tags(entities, length, scheme) for entities, length in document]
        expected = [write_tags(entities, length, "IOB2") for entities, length in document]
        assert to_iob2(written) == expected
        if any(entities for entities, _ in document):
            found = detect_scheme(written)
            assert found == scheme or (scheme == "BILOU" and not any(t[0] in "LU" for s in written for t in s))


def test_spans_equal_conlleval_on_any_tags_well_formed_or_not():
    rng = random.Random(1)
    tags = ["O", "B-X", "I-X", "E-X", "B-Y", "I-Y", "E-Y"]
    for _ in range(500):
        sentences = [rng.choices(tags, k=rng.randint(1, 8)) for _ in range(3)]
        expected, offset = set(), 0
        for sentence in sentences:
            expected |= {(a + offset, b + offset, type_) for a, b, type_ in conlleval_chunks(sentence)}
            offset += len(sentence)
        assert set(chunks_of(sentences)) == expected


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (["O", "I-X"], [(1, 1, "X")]),
        (["B-Y", "I-X"], [(0, 0, "Y"), (1, 1, "X")]),
        (["I-Y", "I-X", "I-X"], [(0, 0, "Y"), (1, 2, "X")]),
        (["B-X", "B-X", "I-X"], [(0, 0, "X"), (1, 2, "X")]),
        (["B-X", "I-X", "O", "I-X"], [(0, 1, "X"), (3, 3, "X")]),
        (["O", "O"], []),
    ],
)
def test_spans_of_hand_made_tags(tags, expected):
    assert chunks_of([tags]) == expected


def test_no_words_have_no_spans():
    assert len(spans(np.zeros(0, int), np.zeros(0, int), np.zeros(0, bool)).start) == 0


@pytest.mark.parametrize("tag", ["PER", "B", "B-", "X-PER", "-PER", "", "O-PER", "b-PER", "B_PER"])
def test_malformed_tags_are_refused(tag):
    with pytest.raises(ValueError, match="unknown tag"):
        parse_tag(tag)
    with pytest.raises(ValueError, match="unknown tag"):
        to_iob2([["O", tag]])


def test_types_may_hold_dashes():
    assert parse_tag("B-ORG-GOV")[1] == "ORG-GOV"


def test_sentence_starts_skip_empty_sentences():
    assert sentence_starts([2, 0, 1]).tolist() == [True, False, True]


def test_labels_of_types_are_outside_then_begin_and_inside_of_each():
    assert iob2_labels(["A", "B"]) == ["O", "B-A", "I-A", "B-B", "I-B"]
