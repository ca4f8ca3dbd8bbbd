"""Entries of a sweep file's parameters: what they stand for, and what is refused."""

import math

import pytest

from head2head.errors import UserError
from head2head.sweep.distributions import Choice, Range
from head2head.sweep.parameters import flatten, parameter


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"min": 1, "max": 3}, Range("int_uniform", {"min": 1, "max": 3})),
        ({"min": 1, "max": 3.0}, Range("uniform", {"min": 1, "max": 3.0})),
        ({"min": 0.5, "max": 3}, Range("uniform", {"min": 0.5, "max": 3})),
        ({"values": [1, 2]}, Choice((1, 2))),
        ({"value": [0.9, 0.98]}, Choice(([0.9, 0.98],))),
        ({"distribution": "constant", "value": "x"}, Choice(("x",))),
        ({"distribution": "categorical", "values": [True]}, Choice((True,))),
        ({"distribution": "normal"}, Range("normal", {"mu": 0, "sigma": 1})),
        ({"distribution": "q_beta"}, Range("q_beta", {"a": 1, "b": 1, "q": 1})),
    ],
)
def test_what_is_not_given_is_as_at_wandb(settings, expected):
    assert parameter(settings) == expected


def test_nested_parameters_have_dotted_names():
    nested = {
        "seed": {"value": 1},
        "optimizer": {"parameters": {"lr": {"min": 0.1, "max": 1.0}, "group": {"parameters": {"decay": {"value": 0}}}}},
    }
    assert flatten(nested) == {
        "seed": {"value": 1},
        "optimizer.lr": {"min": 0.1, "max": 1.0},
        "optimizer.group.decay": {"value": 0},
    }


@pytest.mark.parametrize(
    ("nested", "message"),
    [
        ({"a.b": {"value": 1}, "a": {"parameters": {"b": {"value": 2}}}}, "a.b: given twice"),
        ({"a": {"parameters": {}, "value": 1}}, "a: expected nothing beside its parameters"),
    ],
)
def test_nested_parameters_that_contradict_themselves_are_refused(nested, message):
    with pytest.raises(UserError, match=f"^{message}$"):
        flatten(nested)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("x", "expected `value: X`"),
        ({}, "expected `value: X`"),
        ({"vals": [1]}, "vals: not expected here; did you mean values or value?"),
        ({"value": 1, "values": [1]}, "values: not expected here"),
        ({"value": None}, "null reaches train.py as the word None; write 'null' in quotes"),
        ({"values": [1, None]}, "null reaches train.py"),
        ({"value": {"a": 1}}, "give nested settings by dotted names"),
        ({"value": 1, "distribution": "normal"}, "distribution: normal: with `value` it is constant"),
        ({"values": [1], "distribution": "uniform"}, "distribution: uniform: with `values` it is categorical"),
        ({"values": []}, "values: []: expected a list"),
        ({"values": "mean"}, "values: mean: expected a list"),
        ({"values": [1, 2], "probabilities": [1]}, "a number of 0 or above for each value"),
        ({"values": [1, 2], "probabilities": [1.5, -0.5]}, "a number of 0 or above for each value"),
        ({"values": [1, 2], "probabilities": [0.5, 0.4]}, "probabilities: sum to 0.9, expected 1"),
        ({"distribution": "categorical"}, "categorical needs `values`"),
        ({"distribution": "constant"}, "constant needs `value`"),
        ({"distribution": "uniforn", "min": 0, "max": 1}, "unknown distribution 'uniforn'; did you mean"),
        ({"distribution": "normal", "min": 0}, "min: not expected here"),
        ({"min": 0}, "max is missing"),
        ({"min": "1e-5", "max": 0.1}, "min: '1e-5': uniform needs a number; write 1.0e-05"),
        ({"min": "low", "max": 0.1}, "min: 'low': uniform needs a number"),
        ({"min": True, "max": 3}, "min: True: int_uniform needs a number"),
        ({"min": 0.1, "max": math.inf}, "max: inf: uniform needs a number"),
        ({"min": 3, "max": 3}, "min: 3 is not below max: 3"),
        ({"distribution": "int_uniform", "min": 0.5, "max": 3}, "needs whole numbers"),
        ({"distribution": "log_uniform_values", "min": 0, "max": 3}, "needs a number above 0"),
        ({"distribution": "q_normal", "q": 0}, "q are numbers above 0"),
        ({"distribution": "normal", "sigma": -1}, "sigma, a, b and q are numbers above 0"),
    ],
)
def test_what_wandb_does_not_document_is_refused_in_one_line(settings, message):
    with pytest.raises(UserError) as error:
        parameter(settings)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
