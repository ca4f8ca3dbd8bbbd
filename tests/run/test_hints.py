"""What people type for a setting is answered with the setting."""

import re

import pytest

from head2head.errors import UserError
from head2head.run.configuration import compose, in_our_names, known_keys, options
from head2head.run.hints import CALLED, READ_BY, full_name
from head2head.run.key import identify
from head2head.sweep.composer import Composer
from head2head.sweep.file import read

OWN = "it belongs to task=table (texts) and task=conll (words with tags)"


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ("lr=0.1", "unknown setting lr; did you mean optimizer.lr?"),
        ("learning_rate=0.1", "unknown setting learning_rate; did you mean optimizer.lr?"),
        ("epochs=3", "unknown setting epochs; did you mean trainer.max_epochs?"),
        ("max_epochs=3", "unknown setting max_epochs; did you mean trainer.max_epochs?"),
        ("max_length=64", "unknown setting max_length; did you mean task.max_length?"),
        ("pool=mean", "unknown setting pool; did you mean head/pool?"),
        ("sead=3", "unknown setting sead; did you mean seed"),
        ("train=x.csv", f"unknown setting train; did you mean task.train? {OWN}"),
        ("task.train=x.csv", f"unknown setting task.train; {OWN}"),
        ("zzzzzz=3", "unknown setting zzzzzz; see --help"),
    ],
)
def test_a_short_or_foreign_name_is_answered_with_the_setting(typed, answer):
    with pytest.raises(UserError) as error:
        compose([typed])
    assert str(error.value).startswith(answer)


def test_every_setting_that_is_hinted_at_is_there():
    settings = {*known_keys([]), *known_keys(["task=table"])}
    assert set(CALLED.values()) <= settings


def test_no_hint_stands_for_a_setting_that_is_there():
    assert not set(CALLED) & set(known_keys([]))


def test_a_name_that_could_be_several_is_left_open():
    known = known_keys([])
    assert full_name("dropout", known) is None  # head.dropout, encoder.dropout
    assert full_name("batch-size", known) == "batch_size"


@pytest.mark.parametrize("name", ["pooled_output", "default", "pooler_output"])
def test_an_output_that_is_a_head_has_the_very_key_of_that_head(name):
    ours = compose(["head=pooler", "task=agreement", "seed=3"])
    theirs = compose([f"head={name}", "task=agreement", "seed=3"])
    assert identify(theirs).key == identify(ours).key
    assert Composer()([f"head={name}", "task=agreement", "seed=3"]) == ours


@pytest.mark.parametrize(
    ("name", "heads"),
    [
        ("sequence_output", ("cls, mean, max", "ner")),
        ("last_hidden_state", ("cls, mean, max", "ner")),
        ("encoder_outputs", ("weighted_sum", "concat_last4", "ner_weighted_sum")),
        ("hidden_states", ("weighted_sum", "concat_last4", "ner_weighted_sum")),
        ("attentions", ("no head reads", "head=attention is something else: a pool")),
    ],
)
def test_an_output_that_is_no_head_names_the_heads_that_read_it(name, heads):
    with pytest.raises(UserError) as error:
        compose([f"head={name}"])
    assert str(error.value).startswith(f"head={name} is no head: ")
    assert "\n" not in str(error.value)
    assert all(part in str(error.value) for part in heads)


def test_every_head_that_reads_an_output_is_there():
    known = {*options("head"), "layer", "head", "layers"}
    for text in READ_BY.values():
        assert set(re.findall(r"(?:ner|concat|weighted|first|second|sqrt|mean)_\w+", text)) <= known


@pytest.mark.parametrize(
    ("typed", "ours"),
    [
        ("head=mean,pooled_output", "head=mean,pooler"),
        ("heads=default,max", "heads=pooler,max"),
        ("head=choice(pooled_output,cls)", "head=choice(pooler,cls)"),
        ("head/pool=cls", "head/pool=cls"),
        ("task.label=default", "task.label=default"),
    ],
)
def test_outputs_are_named_by_their_heads_among_several_values_too(typed, ours):
    assert in_our_names([typed]) == [ours]


def test_a_sweep_file_may_call_a_head_by_its_output(tmp_path):
    path = tmp_path / "sweep.yaml"
    path.write_text("method: grid\nparameters:\n  head: {values: [pooled_output, mean]}\n")
    assert read(path).parameters["head"].values == ("pooler", "mean")


def test_a_head_of_the_users_own_keeps_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs/head").mkdir(parents=True)
    (tmp_path / "configs/head/default.yaml").write_text("# mine\n")
    assert in_our_names(["head=default"]) == ["head=default"]
