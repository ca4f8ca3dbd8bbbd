"""Figures of what an encoder makes of one text. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from head2head.report.plots.drawing import BLACK, DPI, GREY, PALETTE, RC, WHITE, Plot

COLORS = "viridis"  # of shares and weights, from 0
PIECE = 0.2  # inches of a word piece
MANY_HEADS = 16  # beside each other get no numbers of their own
# At the resolution of the files: letters are as wide as whole pixels.
LAID_OUT: dict[str, Any] = {"layout": "constrained", "dpi": DPI}
WRITTEN = 12  # pools whose cosines are written into the cells


@dataclass(frozen=True)
class Looked:
    """One text as an encoder of L layers with A heads and width H has read it.

    pieces: its T word pieces.
    states: (L + 1, T, H) hidden states, the embeddings first. attentions: (L, A, T, T), from x to; rows sum to 1.
    maxima: (T,) share of the last layer's dimensions that are largest in a piece. weights: (T,) of the attention pool.
    pools, cosines: names of P pools, and (P, P) the cosines between their vectors.
    """

    encoder: str
    pieces: list[str]
    states: np.ndarray
    attentions: np.ndarray
    maxima: np.ndarray
    weights: np.ndarray
    pools: list[str]
    cosines: np.ndarray


def figures(looked: Looked) -> list[Plot]:
    """All of them."""
    with rc_context(RC):
        return [draw(looked) for draw in (attention_grid, attention, layers, pools, cosines)]


def attention_grid(looked: Looked) -> Plot:
    """Every head of every layer."""
    depth, heads = looked.attentions.shape[:2]
    side = 10.0 / max(heads, 8)
    figure = Figure(figsize=(side * heads + 0.6, side * depth + 0.8))
    left, bottom = 0.45 / figure.get_figwidth(), 0.1 / figure.get_figheight()
    width, height = side / figure.get_figwidth(), side / figure.get_figheight()
    for layer in range(depth):
        for head in range(heads):
            place = (left + head * width, bottom + (depth - 1 - layer) * height, 0.92 * width, 0.92 * height)
            axis = figure.add_axes(place, label=f"{layer} {head}")
            _image(axis, looked.attentions[layer, head], 1)
            axis.set_xticks([])
            axis.set_yticks([])
            if layer == 0 and heads <= MANY_HEADS:
                axis.set_title(str(head + 1), fontsize=8, fontweight="normal")
            if head == 0:
                axis.set_ylabel(str(layer + 1), fontsize=8, rotation=0, va="center", labelpad=8)
    figure.suptitle("attention: a row a layer, a column a head", fontsize=10, y=1 - 0.12 / figure.get_figheight())
    return Plot(
        name="attention_grid",
        title="Attention, every head",
        caption="Each square is one head: from the word piece of a row to that of a column, dark 0 and bright 1.",
        alt=f"Attention of {depth} layers with {heads} heads each over {len(looked.pieces)} word pieces.",
        figure=figure,
    )


def attention(looked: Looked) -> Plot:
    """The last layer, its heads' mean."""
    weights = looked.attentions[-1].mean(axis=0)
    figure, axis = _square(looked.pieces)
    _image(axis, weights, weights.max())
    _pieces(axis, looked.pieces, both=True)
    axis.set_title(f"layer {len(looked.attentions)}, mean of {looked.attentions.shape[1]} heads")
    axis.set_xlabel("to")
    axis.set_ylabel("from")
    figure.colorbar(axis.images[0], ax=axis, fraction=0.04)
    most = looked.pieces[int(weights.mean(axis=0).argmax())]
    return Plot(
        name="attention",
        title="Attention in the last layer",
        caption="From the word piece of a row to that of a column; each row sums to 1.",
        alt=f"Mean attention of the last layer; most goes to {most}.",
        figure=figure,
    )


def layers(looked: Looked) -> Plot:
    """How each word piece's vector changes from layer to layer."""
    states = looked.states / np.linalg.norm(looked.states, axis=-1, keepdims=True).clip(min=1e-12)
    before = (states[1:] * states[:-1]).sum(axis=-1).T  # (T, L)
    first = (states * states[:1]).sum(axis=-1).T  # (T, L + 1)
    figure = Figure(figsize=(9.5, PIECE * len(looked.pieces) + 1.3), **LAID_OUT)
    left, right = figure.subplots(1, 2)
    for axis, values, start, title in (
        (left, before, 1, "cosine with the layer before"),
        (right, first, 0, "cosine with the embedding"),
    ):
        image = _image(axis, values, 1, low=min(0.0, float(values.min())))
        _pieces(axis, looked.pieces)
        axis.set_xticks(range(values.shape[1]), [str(number) for number in range(start, start + values.shape[1])])
        axis.set_xlabel("layer (0: embeddings)")
        axis.set_title(title)
        figure.colorbar(image, ax=axis, fraction=0.05)
    turned = int(before.mean(axis=0).argmin()) + 1
    return Plot(
        name="layers",
        title="Word pieces over the layers",
        caption="How near a word piece's vector is to what it was one layer before, and to its embedding.",
        alt=f"On average the vectors turn most in layer {turned}, to a cosine of {before.mean(axis=0).min():.2f}.",
        figure=figure,
    )


def pools(looked: Looked) -> Plot:
    """Where max pooling takes its maxima, and what attention pooling weighs."""
    figure = Figure(figsize=(9.5, PIECE * len(looked.pieces) + 1.2), **LAID_OUT)
    left, right = figure.subplots(1, 2, sharey=True)
    for axis, values, color, title in (
        (left, looked.maxima, PALETTE[0], "max: dimensions taken from it (%)"),
        (right, looked.weights, PALETTE[1], "attention: its weight, before training (%)"),
    ):
        axis.barh(range(len(values)), 100 * values, color=color)
        axis.axvline(100 / len(values), color=GREY, linestyle=":", linewidth=1.1)
        axis.set_title(title)
        axis.grid(axis="y", visible=False)
    left.set_yticks(range(len(looked.pieces)), looked.pieces)
    left.set_ylim(len(looked.pieces) - 0.5, -0.5)
    most = looked.pieces[int(looked.maxima.argmax())]
    return Plot(
        name="pools",
        title="What pools take of each word piece",
        caption="Left: the share of the last layer's dimensions whose largest value stands there. Right: the attention "
        "pool's weights as they are drawn, before it has learned. The dotted line is an equal share.",
        alt=f"Max pooling takes most from {most}: {100 * looked.maxima.max():.0f} % of the dimensions.",
        figure=figure,
    )


def cosines(looked: Looked) -> Plot:
    """How alike the pools' vectors are."""
    figure, axis = _square(looked.pools, least=3.2, each=0.5)
    _image(axis, looked.cosines, 1, low=min(0.0, float(looked.cosines.min())))
    _pieces(axis, looked.pools, both=True)
    if len(looked.pools) <= WRITTEN:
        for (row, column), value in np.ndenumerate(looked.cosines):
            color = WHITE if value < 0.6 else BLACK
            axis.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=7.5, color=color)
    axis.set_title("cosine between pools")
    away = looked.cosines + 2 * np.eye(len(looked.pools))
    row, column = np.unravel_index(away.argmin(), away.shape)
    return Plot(
        name="cosines",
        title="Cosine between pools",
        caption="Of the vectors that pools make of this text's last layer; those of another width are left out.",
        alt=f"Least alike are {looked.pools[row]} and {looked.pools[column]}: {looked.cosines[row, column]:.2f}.",
        figure=figure,
    )


def _image(axis: Axes, values: np.ndarray, high: float, low: float = 0.0) -> Any:
    axis.grid(visible=False)
    return axis.imshow(values, vmin=low, vmax=high, cmap=COLORS, aspect="auto", interpolation="nearest")


def _square(names: list[str], least: float = 3.6, each: float = 0.3) -> tuple[Figure, Axes]:
    side = max(least, min(each * len(names), 16)) + 1.6
    figure = Figure(figsize=(side + 0.6, side), **LAID_OUT)
    return figure, figure.subplots()


def _pieces(axis: Axes, names: list[str], both: bool = False) -> None:
    """Word pieces, or pools, down the axis, and across it."""
    axis.set_yticks(range(len(names)), names, fontsize=7.5)
    if both:
        axis.set_xticks(range(len(names)), names, fontsize=7.5, rotation=90)
