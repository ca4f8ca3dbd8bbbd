"""`head2head outputs`: the encoder's four outputs, by both names, and every pool."""

import json

import pytest
from transformers import BertConfig, BertModel
from typer.testing import CliRunner

from head2head.cli.main import app
from head2head.cli.outputs import describe
from head2head.data.vocabulary import built_in_tokenizer
from head2head.errors import UserError
from head2head.run.configuration import options

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
    assert set(found["pools"]) == set(options("head/pool"))
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


@pytest.mark.parametrize("text", ["", " \t\n"])
def test_an_empty_text_is_one_line(runner, text):
    done = runner.invoke(app, ["outputs", text, "--encoder", "random-tiny"])
    assert done.exit_code == 1
    assert done.output.strip() == "error: the text is empty"


@pytest.fixture
def own_pool(tmp_path, monkeypatch):
    """Write a pool's yaml file into the folder that is worked in."""
    monkeypatch.chdir(tmp_path)

    def write(content):
        path = tmp_path / "configs/head/pool/own.yaml"
        path.parent.mkdir(parents=True)
        path.write_text(content)
        return path

    return write


def test_a_pool_of_the_users_own_is_shown_with_its_meaning_and_settings(own_pool):
    own_pool("# mean of words\n_target_: head2head.model.heads.Mean\n_partial_: true\nspecial_tokens: false\n")
    pools = describe("the key", None, "random-tiny")["pools"]
    assert pools["own"]["what"] == "mean of words"
    assert pools["own"]["first_values"] != pools["mean"]["first_values"]


def test_pools_that_learn_say_so_and_are_the_same_each_time():
    first, second = (describe("the key is here", None, "random-tiny")["pools"] for _ in range(2))
    assert first == second
    assert first["attention"]["what"] == "learned attention over the tokens (learned; here before training)"
    assert [name for name, pool in first.items() if "before training" in pool["what"]] == ["attention"]


@pytest.mark.parametrize("target", ["head2head.model.heads.Men", "torch.nn.Identity", "head2head.model.heads.Linear"])
def test_a_file_that_is_no_pool_is_a_user_error(own_pool, target):
    path = own_pool(f"_target_: {target}\n_partial_: true\n")
    with pytest.raises(UserError, match=f"^{path}: not a pool: ") as error:
        describe("the key", None, "random-tiny")
    assert "\n" not in str(error.value)


def test_an_encoder_without_pooler_shows_the_other_pools(tmp_path):
    size = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    BertModel(BertConfig(vocab_size=512, **size), add_pooling_layer=False).save_pretrained(tmp_path)
    built_in_tokenizer().save_pretrained(tmp_path)
    found = describe("the key", None, str(tmp_path))
    assert found["outputs"]["pooler_output"]["why"].startswith("none: encoder ")
    assert set(found["pools"]) == set(options("head/pool")) - {"pooler"}
