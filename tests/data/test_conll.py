"""Column files of token tasks: the original CoNLL-2003 layout, own files, and a hub that is made up."""

import time
from collections import Counter

import pytest
from datasets import ClassLabel, Dataset, Features, Sequence, Value

ORIGINAL = """-DOCSTART- -X- O O

EU NNP I-NP I-ORG
rejects VBZ I-VP O

Paris NNP I-NP I-LOC
London NNP B-NP B-LOC

-DOCSTART- -X- O O

Peter NNP I-NP I-PER
Blackburn NNP I-NP I-PER
"""


def named(task, rows):
    return [[task.labels[number] for number in tags] for tags in rows["tags"]]


@pytest.fixture
def original(make_task, write, tmp_path):
    """CoNLL-2003 with a made-up training file."""

    def build(content):
        path = write("conll2003/eng.train", content)
        return make_task("conll2003", data_dir=tmp_path), path

    return build


def test_the_original_format_becomes_iob2_with_documents(original):
    task, path = original(ORIGINAL)
    rows = task.read("train")
    assert list(rows["tokens"]) == [["EU", "rejects"], ["Paris", "London"], ["Peter", "Blackburn"]]
    assert named(task, rows) == [["B-ORG", "O"], ["B-LOC", "B-LOC"], ["B-PER", "I-PER"]]
    first, second, third = rows["document"]
    assert first == second != third
    assert task.notes == [f"{path}: IOB1 tags, 3 sentences"]


@pytest.mark.parametrize(
    ("tags", "scheme"), [(["B-PER", "I-PER"], "IOB2"), (["B-PER", "E-PER"], "BIOES"), (["B-PER", "L-PER"], "BILOU")]
)
def test_other_schemes_are_found_out_converted_and_told(original, tags, scheme):
    task, path = original(f"Peter NNP I-NP {tags[0]}\nBlackburn NNP I-NP {tags[1]}\n")
    assert named(task, task.read("train")) == [["B-PER", "I-PER"]]
    assert task.notes == [f"{path}: {scheme} tags, 1 sentences"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("-DOCSTART- -X- O O\n\nEU NNP I-ORG\n", ":3: expected 4 columns, found 3"),
        ("EU NNP I-NP I-ORG\nrejects\n", ":2: expected 4 columns, found 1"),
        ("EU NNP I-NP I-ORG\nx NNP I-NP ORG\n", ":2: unknown tag 'ORG'; expected O or B-TYPE, I-TYPE"),
        ("EU NNP I-NP O\n\nx NNP I-NP I-DATE\n", ":3: unknown label 'DATE'; expected one of the types PER, ORG,"),
        ("", ": the file is empty"),
        ("-DOCSTART- -X- O O\n\n", ": no examples"),
    ],
)  # fmt: skip
def test_a_bad_file_is_an_error_with_file_and_line(original, error_of, content, message):
    task, path = original(content)
    assert error_of(task.read, "train").startswith(f"{path}{message}")


def test_the_real_files_have_all_sentences_words_documents_and_entities(make_task, real_data):
    task = make_task("conll2003", data_dir=real_data)
    # sentences, words, documents; LOC, MISC, ORG, PER: Tjong Kim Sang and De Meulder (2003), Tables 1 and 2
    published = {
        "train": (14041, 203621, 946, 7140, 3438, 6321, 6600),
        "validation": (3250, 51362, 216, 1837, 922, 1341, 1842),
        "test": (3453, 46435, 231, 1668, 702, 1661, 1617),
    }
    for split, counts in published.items():
        rows = task.read(split)
        tags, tokens = rows["tags"][:], rows["tokens"][:]
        assert [len(row) for row in tags] == [len(row) for row in tokens]
        begun = Counter(task.labels[tag] for row in tags for tag in row)
        entities = [begun[f"B-{type_}"] for type_ in ("LOC", "MISC", "ORG", "PER")]
        assert (len(rows), sum(map(len, tokens)), len(set(rows["document"][:])), *entities) == counts
    assert [note.split(": ")[1] for note in task.notes] == [
        f"IOB1 tags, {sentences} sentences" for sentences, *_ in published.values()
    ]


OWN = "Ann B-PERSON\nsleeps O\n\nOslo B-PLACE\n"


@pytest.fixture
def own(make_task, write):
    """task=conll with a training and a validation file."""

    def build(train, validation=OWN, **settings):
        return make_task("conll", train=write("train.txt", train), validation=write("dev.txt", validation), **settings)

    return build


def test_labels_of_own_data_are_found_in_the_training_file(own):
    task = own(OWN)
    assert task.labels == ["O", "B-PERSON", "I-PERSON", "B-PLACE", "I-PLACE"]
    assert task.num_outputs == 5
    rows = task.read("validation")
    assert list(rows["tokens"]) == [["Ann", "sleeps"], ["Oslo"]]
    assert named(task, rows) == [["B-PERSON", "O"], ["B-PLACE"]]


def test_a_type_that_training_lacks_is_an_error_with_its_line(own, tmp_path, error_of):
    message = error_of(own(OWN, "Ann B-PERSON\n\nMay O\n1st B-DATE\n").read, "validation")
    assert message == f"{tmp_path / 'dev.txt'}:4: unknown label 'DATE'; expected one of the types PERSON, PLACE"


@pytest.mark.parametrize(
    "content", [OWN.replace(" ", "\t"), OWN.replace(" ", "   "), OWN.replace("\n", "\r\n"), OWN[:-1]]
)
def test_tabs_blanks_line_ends_and_a_missing_last_newline_make_no_difference(own, content):
    rows, expected = own(content).read("train"), own(OWN).read("train")
    assert rows.to_dict() == expected.to_dict()


@pytest.mark.parametrize("word", ["10\u00a0000", "\u00a0", "\u2028", "\x85", "\u200e", "\u3000"])
def test_only_blanks_and_tabs_separate_columns(own, word):
    rows = own(f"{word} O\nOslo B-PLACE\n").read("train")
    assert list(rows["tokens"]) == [[word, "Oslo"]]


def test_columns_are_chosen_by_the_user(own):
    task = own("1 B-X Ann N\n2 O went V\n", "1 B-X Bo N\n", token_column=2, tag_column=1)
    assert list(task.read("train")["tokens"]) == [["Ann", "went"]]
    assert named(task, task.read("train")) == [["B-X", "O"]]


@pytest.mark.parametrize("settings", [{"token_column": 2}, {"tag_column": 2}, {"tag_column": -3}])
def test_a_column_that_is_not_there_is_an_error(own, tmp_path, error_of, settings):
    ((name, value),) = settings.items()
    message = error_of(lambda: own(OWN, **settings).read("train"))
    assert message.startswith(f"{tmp_path / 'train.txt'}:1: ")
    assert f"task.{name}={value}" in message


def test_a_line_with_another_number_of_columns_than_the_first_is_an_error(own, tmp_path, error_of):
    assert error_of(own, "Ann B-PERSON\nand then O\n") == f"{tmp_path / 'train.txt'}:2: expected 2 columns, found 3"
    assert error_of(own, "Ann\n") == f"{tmp_path / 'train.txt'}:1: expected 2 columns, found 1"


def test_training_data_without_any_entity_is_an_error(own, tmp_path, error_of):
    assert error_of(own, "Ann O\nsleeps O\n").startswith(f"{tmp_path / 'train.txt'}: no entity")


def test_files_of_own_data_must_be_named(make_task, error_of):
    assert error_of(make_task("conll").sources) == (
        "task=conll needs task.train=FILE and task.validation=FILE, or fold=0 in place of a validation file, "
        "to hold out a part of the training rows"
    )


def test_context_is_sentence_or_document(make_task, error_of):
    assert error_of(make_task, "conll2003", context="page") == "task.context=page: choose from: sentence, document"


def hub_table(documents=True):
    names = ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]
    rows = {"tokens": [["Ann", "Lee", "in"], ["Oslo"], ["no"]], "ner_tags": [[3, 4, 0], [1], [0]]}
    features = {"tokens": Sequence(Value("string")), "ner_tags": Sequence(ClassLabel(names=names))}
    if documents:
        rows["document_id"], features["document_id"] = [7, 7, 9], Value("int32")
    return Dataset.from_dict(rows, features=Features(features))


def test_the_hubs_tags_are_mapped_by_name_and_keep_their_documents(make_task, hub):
    asked = hub(hub_table())
    task = make_task("conll2003", hub_revision="abc")
    rows = task.read("validation")
    assert asked == [("tomaarsen/conll2003", None, "validation", "abc")]
    assert list(rows["tokens"]) == [["Ann", "Lee", "in"], ["Oslo"], ["no"]]
    assert named(task, rows) == [["B-PER", "I-PER", "O"], ["B-LOC"], ["O"]]
    assert list(rows["document"]) == [7, 7, 9]


def test_without_document_ids_every_sentence_of_the_hub_is_a_document(make_task, hub):
    hub(hub_table(documents=False))
    assert len(set(make_task("conll2003").read("train")["document"])) == 3


def test_without_hub_and_data_dir_the_error_says_what_to_do(make_task, error_of):
    message = error_of(make_task("conll2003").read, "train")
    assert message.startswith("tomaarsen/conll2003 cannot be read from the hub (")
    assert message.endswith("give data_dir=DIR (or $HEAD2HEAD_DATA) with the original files in DIR/conll2003")


def test_the_hubs_tag_scheme_is_told(make_task, hub):
    hub(hub_table())
    task = make_task("conll2003")
    task.read("validation")
    assert task.notes == ["tomaarsen/conll2003/validation: IOB2 tags, 3 sentences"]


def test_a_test_file_may_hold_words_alone(own, write):
    words = write("test.txt", "-DOCSTART-\n\nAnn\nsleeps\n\nOslo\n")
    task = own(OWN, test=words)
    rows = task.read("test")
    assert rows.to_dict() == {"tokens": [["Ann", "sleeps"], ["Oslo"]], "document": [1, 1]}
    assert task.notes == [f"{words}: words without tags, 2 sentences"]
    assert "tags" in own(OWN, test=write("tagged.txt", OWN)).read("test").column_names


def test_words_alone_are_read_whatever_columns_training_had(own, write):
    task = own("1 B-X Ann N\n", "1 B-X Bo N\n", token_column=2, tag_column=1, test=write("test.txt", "Ann\n"))
    assert list(task.read("test")["tokens"]) == [["Ann"]]


def test_words_without_tags_among_words_with_tags_are_an_error(own, write, error_of):
    for content, message in (("Ann\nsleeps O\n", "1 columns, found 2"), ("Ann O\nsleeps\n", "2 columns, found 1")):
        path = write("test.txt", content)
        assert error_of(own(OWN, test=path).read, "test") == f"{path}:2: expected {message}"


def test_training_and_validation_need_tags(own, tmp_path, error_of):
    assert error_of(own(OWN, "Ann\n").read, "validation") == f"{tmp_path / 'dev.txt'}:1: expected 2 columns, found 1"


def test_the_first_label_of_a_token_task_is_o(own, error_of):
    message = error_of(own, OWN, labels=["B-PERSON", "I-PERSON", "O"])
    assert message == "task.labels: the first must be O, not B-PERSON: words without word pieces are given it"


def test_a_type_in_two_spellings_is_an_error_with_both_lines(own, tmp_path, error_of):
    message = error_of(own, "Ann B-caf\u00e9\nLee O\nBo B-cafe\u0301\n")
    assert message == (
        f"{tmp_path / 'train.txt'}:3: label 'cafe\\u0301' is 'caf\\xe9' of line 1 in another spelling; write both alike"
    )


def test_a_type_that_only_the_hub_knows_is_an_error(make_task, hub, error_of):
    hub(hub_table())
    message = error_of(make_task("conll2003", labels=["O", "B-PER", "I-PER"]).read, "train")
    assert message == "tomaarsen/conll2003/train:2: unknown label 'LOC'; expected one of the types PER"


def test_a_tag_as_long_as_a_book_is_shown_in_part(own, error_of):
    assert len(error_of(own, f"Ann {'tag' * 10_000}\n")) < 500


def test_many_types_are_read_in_linear_time(own):
    task = own("".join(f"w{i} B-T{i % 5_000}\n\n" for i in range(20_000)))
    started = time.perf_counter()
    assert len(task.read("train")) == 20_000
    assert time.perf_counter() - started < 5


@pytest.mark.parametrize("name", ["token_column", "tag_column"])
def test_columns_are_given_by_number(own, error_of, name):
    message = error_of(own, OWN, **{name: "word"})
    assert message == f"task.{name}=word: a column's number; the first is 0, the last -1"


def test_token_data_are_called_after_their_file(make_task, write):
    path = write("ritter.train.txt", OWN)
    assert make_task("conll", train=path, validation=path).name == "conll-ritter"
