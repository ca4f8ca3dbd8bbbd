"""Floating-point operations of a training step, counted from a BERT encoder's sizes."""

from typing import TypedDict


class Shape(TypedDict):
    """Sizes of an encoder: its width, the width of its feed-forward parts, its number of layers."""

    hidden: int
    intermediate: int
    layers: int


def parameters(shape: Shape) -> int:
    """Parameters of the layers: all but embeddings, pooler and classifier.

    A layer has four dense H x H parts (query, key, value, attention output), two of H x I, and two LayerNorms.
    """
    h, i = shape["hidden"], shape["intermediate"]
    return shape["layers"] * (4 * (h * h + h) + (h * i + i) + (i * h + h) + 2 * 2 * h)


def useful(shape: Shape, tokens: int) -> int:
    """6 x parameters x real tokens (Kaplan et al. 2020): a multiplication and an addition a parameter, once forward
    and twice backward. Padding is no use, and attention's products are left out: T / 6H of that at T word pieces, which
    for MiniLM is 3 % at 64."""
    return 6 * parameters(shape) * tokens


def with_first_token(shape: Shape, tokens: int, texts: int) -> int:
    """What of `useful` is left to do with the one-token last layer: all its parts for one token a text. Its
    query, scores and weighted sums over the other tokens are products with keys, left out as above."""
    below, one = (Shape(**shape | {"layers": layers}) for layers in (shape["layers"] - 1, 1))
    return useful(below, tokens) + useful(one, texts)
