"""The figures of a report. Each module draws one kind; none touches pyplot's global state."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from matplotlib import rc_context

from head2head.report.plots import (
    cost,
    curves,
    differences,
    layer_weights,
    seeds,
    settings,
)
from head2head.report.plots.drawing import RC, Plot

if TYPE_CHECKING:
    from head2head.report.analysis import Analysis

# In the order of the page: a pattern of the names of its plots -> what draws them.
KINDS: dict[str, Callable[[Analysis], list[Plot]]] = {
    "seeds(_sentence|_token)?": seeds.plots,
    "differences(_sentence|_token)?": differences.plots,
    r"setting_\w+": settings.plots,
    "learning_curves": curves.plots,
    "layer_weights": layer_weights.plots,
    "cost": cost.plots,
}
GONE = ("critical_difference(_sentence|_token)?",)  # figures that earlier versions drew
# Files of figures: their names distinguish those of an earlier report from a user's own.
FIGURE = re.compile(rf"({'|'.join([*KINDS, *GONE])})\.(svg|png)")


def draw(analysis: Analysis) -> list[Plot]:
    """Every figure that the runs allow."""
    with rc_context(RC):
        return [plot for plots in KINDS.values() for plot in plots(analysis)]
