"""The figures of a report. Each module draws one kind; none touches pyplot's global state."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from matplotlib import rc_context

from head2head.report.plots import (
    cost,
    critical_difference,
    curves,
    differences,
    layer_weights,
    seeds,
    settings,
)
from head2head.report.plots.figure import Plot
from head2head.report.plots.style import RC

if TYPE_CHECKING:
    from head2head.report.analysis import Analysis

# In the order of the page.
KINDS: tuple[Callable[[Analysis], list[Plot]], ...] = (
    seeds.plots,
    differences.plots,
    critical_difference.plots,
    settings.plots,
    curves.plots,
    layer_weights.plots,
    cost.plots,
)


def draw(analysis: Analysis) -> list[Plot]:
    """Every figure that the runs allow."""
    with rc_context(RC):
        return [plot for kind in KINDS for plot in kind(analysis)]
