"""A layer that the encoder does not have is refused before anything is loaded."""

import json
import subprocess
import sys

import pytest

from head2head.errors import UserError
from head2head.model.checkpoint import Checkpoint
from head2head.run.configuration import compose, options
from head2head.run.key import identify
from head2head.run.layers import num_layers


def refused(*overrides: str) -> str:
    with pytest.raises(UserError) as error:
        identify(compose(overrides))
    return str(error.value)


def test_a_layer_beyond_the_default_encoders_six_is_refused_at_plan(minilm_folder):
    assert minilm_folder
    states = "the encoder's hidden states are 0 (embeddings) to 6, or -1 to -7 from the last"
    for index in (7, -8):
        assert refused("head/layers=layer", f"head.layers.index={index}") == f"layer {index}: {states}"
    for index in (6, -7, 0):
        identify(compose(["head/layers=layer", f"head.layers.index={index}"]))
    assert refused("head=weighted_sum", "head.layers.n=7").startswith("head.layers.n=7: the encoder has 6 layers")
    identify(compose(["head=weighted_sum", "head.layers.n=all"]))


def test_the_plan_says_so_in_a_line_and_loads_no_torch(minilm_folder, tmp_path):
    assert minilm_folder
    code = "import sys; from head2head.cli.hydra_command_line import train; train(sys.argv[1:])"
    guard = f"import sys; sys.modules['torch'] = None; {code}"
    command = [sys.executable, "-c", guard, "plan=true", "head/layers=layer", "head.layers.index=7"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: layer 7: the encoder's hidden states are 0 (embeddings) to 6")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(("name", "key"), [("bert", "num_hidden_layers"), ("distilbert", "n_layers")])
def test_layers_of_a_folder_are_counted_in_its_config(tmp_path, name, key):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": name, key: 3}))
    encoder = {"name": str(tmp_path), "revision": None, "config": None}
    assert num_layers(encoder) == 3 == Checkpoint(str(tmp_path)).spec().num_layers


@pytest.mark.parametrize("content", ["", "[]", "{", '{"model_type": "bert"}'])
def test_what_is_not_known_is_left_to_the_encoder(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    assert num_layers({"name": str(tmp_path)}) is None
    assert num_layers({"name": "nobody/has-this-one"}) is None
    assert num_layers({"name": "no name: at all"}) is None


def test_an_encoder_with_random_weights_says_it_itself():
    assert refused("encoder=random-tiny", "head=concat_last4").startswith("head.layers.n=4: the encoder has 2 layers")


@pytest.mark.parametrize("layers", sorted(options("head/layers")))
def test_every_layer_rule_is_checked_or_needs_no_check(layers, minilm_folder):
    assert minilm_folder
    identify(compose([f"head/layers={layers}", *(["head.layers.index=2"] if layers == "layer" else [])]))
