"""A table of text, and numbers as text; how a table is written is another matter (`formats`)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

NONE = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Cell:
    """A cell's text: `lead`, which is bold or not, and what follows it."""

    lead: str
    rest: str = ""
    bold: bool = False

    def __str__(self) -> str:
        return self.lead + self.rest


@dataclass(frozen=True)
class Table:
    """A table of text, its first `words` columns aligned left, the others right.

    caption: one sentence above; legend: sentences below.
    """

    caption: str
    columns: list[str]
    rows: list[list[Cell]]
    words: int = 1
    legend: list[str] = field(default_factory=list)


def percent(score: float) -> str:
    """88.1"""
    return NONE if math.isnan(score) else f"{100 * score:.1f}".replace("-", MINUS).replace(f"{MINUS}0.0", "0.0")


def signed(difference: float) -> str:
    """+1.25, in percentage points"""
    if math.isnan(difference):
        return NONE
    text = f"{100 * difference:+.2f}"
    return "0.00" if float(text) == 0 else text.replace("-", MINUS)


def p_value(p: float) -> str:
    """Four decimals, so that 1/16 and 1/128 can be told."""
    return NONE if math.isnan(p) else "<0.0001" if p < 0.0001 else f"{p:.4f}"


def seeds(needed: float) -> str:
    """A whole number, `>10000`, or a dash where there is no difference to see."""
    return NONE if math.isnan(needed) else ">10000" if math.isinf(needed) else f"{needed:.0f}"
