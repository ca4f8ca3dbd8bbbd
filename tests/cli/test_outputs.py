"""`head2head outputs`: the encoder's four outputs, by both names, and every pool."""

import io
import json

import matplotlib.image
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import BertConfig, BertModel
from typer.testing import CliRunner

from head2head.cli.main import app
from head2head.cli.output_figures import Looked, attention_grid, figures
from head2head.cli.outputs import attention_weights, cosines_of, describe, maxima, read
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


def test_segments_tell_the_texts_of_a_pair_apart(runner):
    arguments = ["outputs", "the key", "--pair", "the door", "--encoder", "random-tiny"]
    assert json.loads(runner.invoke(app, [*arguments, "--json"]).stdout)["segments"] == [0, 0, 0, 0, 1, 1, 1]
    lines = [line for line in runner.invoke(app, arguments).stdout.splitlines() if "segment" in line]
    assert [line.split(":")[0].strip() for line in lines] == ["segment 0", "segment 1"]
    assert [len(line.partition(":")[2].split()) for line in lines] == [4, 3]


def test_shares_of_max_pooling_are_counted_by_hand():
    reading = read("the key is here", None, "random-tiny")
    state = reading.output.last_hidden_state[0]
    counted = [sum(int(state[:, d].argmax()) == t for d in range(state.shape[1])) for t in range(len(state))]
    assert maxima(reading).tolist() == pytest.approx([count / state.shape[1] for count in counted])
    assert sum(counted) == state.shape[1]


def test_the_attention_pools_weights_give_its_vector():
    reading = read("the key is here", None, "random-tiny")
    weights = torch.tensor(attention_weights(reading)).float()
    assert float(weights.sum()) == pytest.approx(1)
    assert torch.allclose(
        weights @ reading.output.last_hidden_state[0], reading.pools["attention"].vector[0], atol=1e-6
    )


def test_cosines_between_pools_are_those_of_torch():
    reading = read("the key is here", None, "random-tiny")
    names, values = cosines_of(reading)
    assert "mean_max" not in names  # twice as wide
    expected = torch.cosine_similarity(reading.pools["mean"].vector, reading.pools["max"].vector).item()
    assert values[names.index("mean"), names.index("max")] == pytest.approx(expected, abs=1e-6)
    assert np.diag(values) == pytest.approx(np.ones(len(names)))


def test_tensors_are_written_as_transformers_gives_them(tmp_path, runner):
    path = tmp_path / "all.safetensors"
    done = runner.invoke(app, ["outputs", "the key", "--encoder", "random-tiny", "--tensors", str(path)])
    assert done.exit_code == 0, done.output
    found, reading = load_file(path), read("the key", None, "random-tiny")
    layers, width, heads = 2, reading.spec.hidden_size, reading.output.attentions[0].shape[1]
    assert {name: tuple(tensor.shape) for name, tensor in found.items() if not name.startswith("pools.")} == {
        **dict.fromkeys(("input_ids", "token_type_ids", "attention_mask", "special_tokens_mask"), (1, 4)),
        **dict.fromkeys(("last_hidden_state", *(f"hidden_states.{n}" for n in range(layers + 1))), (1, 4, width)),
        **{f"attentions.{n}": (1, heads, 4, 4) for n in range(layers)},
        "pooler_output": (1, width),
    }
    assert torch.equal(found["hidden_states.2"], found["last_hidden_state"])
    assert torch.equal(found["pools.pooler"], found["pooler_output"])
    assert {name.removeprefix("pools.") for name in found if name.startswith("pools.")} == set(options("head/pool"))


def test_figures_show_every_head_and_every_word_piece(tmp_path, runner):
    arguments = ["outputs", "the key is here", "--encoder", "random-tiny", "--plot", str(tmp_path / "new")]
    done = runner.invoke(app, arguments)
    assert done.exit_code == 0, done.output
    names = ("attention_grid", "attention", "layers", "pools", "cosines")
    assert {path.name for path in (tmp_path / "new").iterdir()} == {
        f"{n}.{kind}" for n in names for kind in ("svg", "png")
    }
    assert (tmp_path / "new/pools.png").read_bytes().startswith(b"\x89PNG")
    svg = (tmp_path / "new/layers.svg").read_text()
    assert all(f">{piece}<" in svg for piece in ("[CLS]", "key", "[SEP]"))
    assert str(tmp_path / "new/attention.svg") in done.stdout.replace("\n", "")


def test_the_grid_of_attention_has_a_panel_a_layer_and_head():
    rng = np.random.default_rng(0)
    attentions = rng.dirichlet(np.ones(3), size=(4, 5, 3))
    looked = Looked(
        "e",
        list("abc"),
        rng.normal(size=(5, 3, 8)),
        attentions,
        np.ones(3) / 3,
        np.ones(3) / 3,
        ["cls"],
        np.ones((1, 1)),
    )
    panels = attention_grid(looked).figure.axes
    assert len(panels) == 4 * 5
    assert np.array_equal(panels[7].images[0].get_array(), attentions[1, 2])


def test_no_label_of_a_figure_is_cut_off():
    random, pieces = np.random.default_rng(0), ["[CLS]", "see", "uncharacteristically", "##s", "[SEP]"]
    count, pools = len(pieces), ["cls", "weighted_mean", "a_pool_of_the_users_own"]
    looked = Looked(
        "x", pieces, random.random((3, count, 4)), random.random((2, 2, count, count)), random.random(count),
        random.random(count), pools, np.eye(len(pools)),
    )  # fmt: skip
    for plot in figures(looked):
        pixels = matplotlib.image.imread(io.BytesIO(plot.png()))[..., :3]
        for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]):
            assert edge.min() == 1, plot.name


def test_a_plot_folder_that_cannot_be_made_is_one_line(tmp_path, runner):
    (tmp_path / "file").touch()
    done = runner.invoke(app, ["outputs", "the key", "--encoder", "random-tiny", "--plot", str(tmp_path / "file")])
    assert done.exit_code == 1
    assert "error: --plot" in done.output


@pytest.mark.usefixtures("minilm_folder")
def test_minilm_says_that_its_pooler_was_not_trained_by_its_last_objective(runner):
    done = runner.invoke(app, ["outputs", "the key", "--json"])
    assert "its pooler was not trained by its last objective" in json.loads(done.stdout)["notes"][0]
    assert describe("the key", None, "random-tiny")["notes"] == []


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
