"""What people type for a setting is answered with the setting."""

import pytest

from head2head.errors import UserError
from head2head.run.configuration import compose, known_keys
from head2head.run.hints import CALLED, full_name

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
