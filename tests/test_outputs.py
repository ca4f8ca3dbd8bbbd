"""`head2head outputs`: the encoder's four outputs, by both names, and every pool."""

import json

import pytest
from typer.testing import CliRunner

from head2head.cli import app
from head2head.outputs import POOLS

TEXT = "Let's see all hidden-states and attentions on this text"


@pytest.fixture
def runner():
    return CliRunner(env={"COLUMNS": "160"})


@pytest.mark.usefixtures("minilm_folder")
def test_minilm_shows_its_outputs_with_their_shapes(runner):
    done = runner.invoke(app, ["outputs", TEXT, "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["ids"] == [
        101,
        2292,
        1005,
        1055,
        2156,
        2035,
        5023,
        1011,
        2163,
        1998,
        3086,
        2015,
        2006,
        2023,
        3793,
        102,
    ]
    assert found["word_pieces"][:4] == ["[CLS]", "let", "'", "s"]
    outputs = found["outputs"]
    assert outputs["last_hidden_state"]["shape"] == [1, 16, 384]
    assert outputs["pooler_output"]["shape"] == [1, 384]
    assert outputs["hidden_states"]["shapes"] == [[1, 16, 384]] * 7
    assert outputs["attentions"]["shapes"] == [[1, 12, 16, 16]] * 6
    assert outputs["pooler_output"]["tf_hub"].startswith("pooled_output")
    assert set(found["pools"]) == set(POOLS)
    assert found["pools"]["cls"]["first_values"] == outputs["last_hidden_state"]["first_values"]
    assert found["pools"]["pooler"]["first_values"] == outputs["pooler_output"]["first_values"]


def test_the_printed_page_lists_the_same(runner):
    done = runner.invoke(app, ["outputs", TEXT, "--encoder", "random-tiny"])
    assert done.exit_code == 0, done.output
    for part in ("3 x (1, ", "2 x (1, 2, ", "sequence_output", "encoder_outputs", "mean_max"):
        assert part in done.stdout


def test_a_pair_is_read_as_two_segments(runner):
    done = runner.invoke(app, ["outputs", "the key", "--pair", "the door", "--encoder", "random-tiny", "--json"])
    assert json.loads(done.stdout)["word_pieces"] == ["[CLS]", "the", "key", "[SEP]", "the", "door", "[SEP]"]


def test_an_unknown_encoder_is_one_line(runner):
    done = runner.invoke(app, ["outputs", "text", "--encoder", "random-tny"])
    assert done.exit_code == 1
    assert done.output.strip() == "error: unknown encoder 'random-tny'; did you mean random-tiny?"


def test_a_text_that_is_too_long_is_one_line(runner):
    done = runner.invoke(app, ["outputs", "key " * 600, "--encoder", "random-tiny"])
    assert done.exit_code == 1
    assert "602 word pieces; random-tiny reads at most 512" in done.output
