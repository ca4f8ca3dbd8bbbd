"""A finished run, or a folder that was exported from one, as `encoder.name`."""

import shutil

import pytest
import torch
import yaml
from exported import finished, of_run

from composed import compose
from head2head.cli.export import export
from head2head.errors import UserError
from head2head.model.checkpoint import Checkpoint, load_encoder
from head2head.model.encoder import NoPooler
from head2head.model.output import Needs
from head2head.run.key import identify
from head2head.run.result import read_result
from head2head.run.run import run

IDS = torch.tensor([[2, 40, 41, 42, 3], [2, 50, 3, 0, 0]])
MASK = (IDS > 0).long()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("trained")


@pytest.fixture(scope="module")
def mean(place):
    return finished(place, "mean")


@torch.no_grad()
def states(encoder):
    """The last hidden state of real tokens, and the pooler's output."""
    output = encoder.eval()(IDS, MASK)
    pooled = [] if output.pooled is None else [output.pooled.flatten()]
    return torch.cat([output.last_hidden_state[MASK.bool()].flatten(), *pooled])


def encoder_of(folder, layers, **needs):
    return load_encoder(Checkpoint(str(folder)), Needs(frozenset({layers}), **needs))


def test_a_run_is_an_encoder_with_the_weights_that_it_has_trained(mean):
    assert torch.equal(states(encoder_of(mean, 4)), states(of_run(mean).model.encoder))
    assert encoder_of(mean, 4).checkpoint_sha256 != read_result(mean).encoder


def test_a_run_that_has_trained_the_pooler_has_one_and_others_have_none(place, mean):
    pooler = finished(place, "pooler")
    assert torch.equal(states(encoder_of(pooler, 4, pooler=True)), states(of_run(pooler).model.encoder))
    with pytest.raises(NoPooler, match="has no pooler weights"):
        encoder_of(mean, 4, pooler=True)


def test_layers_that_the_runs_head_did_not_read_are_left_out(place):
    lower = finished(place, "second_to_last")
    assert Checkpoint(str(lower)).spec().num_layers == 3
    output = of_run(lower).model.encoder.eval()(IDS, MASK)
    expected = output.hidden_state(3)[MASK.bool()].flatten()
    assert torch.equal(states(encoder_of(lower, 3)), expected)


def test_a_frozen_encoder_stays_the_one_that_the_run_has_started_from(place):
    frozen = finished(place, "second_to_last", "encoder.frozen=true")
    assert encoder_of(frozen, 4).checkpoint_sha256 == read_result(frozen).encoder
    partly = finished(place, "mean", "encoder.frozen=2")
    assert torch.equal(states(encoder_of(partly, 4)), states(of_run(partly).model.encoder))


@pytest.mark.parametrize(("head", "to"), [("mean", "sentence-transformers"), ("pooler", "transformers")])
def test_an_exported_folder_is_the_same_encoder(head, to, place, tmp_path):
    folder = finished(place, head)
    export(folder, tmp_path / "out", to)
    pooler = head == "pooler"
    assert torch.equal(states(encoder_of(tmp_path / "out", 4, pooler=pooler)), states(of_run(folder).model.encoder))
    ours, theirs = encoder_of(tmp_path / "out", 4), encoder_of(folder, 4)
    assert ours.checkpoint_sha256 == theirs.checkpoint_sha256


def overrides(folder, place, *more):
    return [
        *("encoder=any", f"encoder.name={folder}", "task.rows.train=16", "task.rows.validation=8", "threads=1"),
        *("trainer.max_steps=1", "trainer.enable_progress_bar=false", "trainer.accelerator=cpu"),
        *(f"output_dir={place}/second", f"cache_dir={place}/cache", *more),
    ]


def test_a_run_can_start_from_a_run_and_a_third_one_from_that(mean, place):
    second = run(compose(overrides(mean, place, "head=max")))
    assert second.encoder == encoder_of(mean, 4).checkpoint_sha256
    third = run(compose(overrides(second.folder, place, "head=cls", "encoder.dropout=0.2")))
    assert third.encoder == encoder_of(second.folder, 4).checkpoint_sha256


def test_the_key_has_the_weights_and_nothing_else_that_lies_in_the_folder(mean, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(mean, copy)
    key = identify(compose(overrides(mean, tmp_path))).key
    (copy / "predictions-agreement-test.parquet").write_bytes(b"more")
    assert identify(compose(overrides(copy, tmp_path))).key == key
    content = bytearray((copy / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (copy / "model.safetensors").write_bytes(content)
    assert identify(compose(overrides(copy, tmp_path))).key != key


def test_a_run_without_weights_or_from_another_encoder_is_no_encoder(mean, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(mean, copy)
    weights = (copy / "model.safetensors").rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="kept no weights"):
        encoder_of(copy, 4)
    weights.rename(copy / "model.safetensors")
    config = yaml.safe_load((copy / "config.yaml").read_text())
    config["encoder"]["config"]["intermediate_size"] = 65
    (copy / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(UserError, match="which the run started from, has other weights now"):
        encoder_of(copy, 4)
    config["encoder"] |= {"name": str(copy), "config": None}
    (copy / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(UserError, match="started from itself"):
        encoder_of(copy, 4)
