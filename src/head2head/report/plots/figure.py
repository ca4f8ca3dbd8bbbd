"""A figure with its words, and its bytes: the same figure gives the same bytes."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

from head2head.report.plots.style import RC

DPI = 120  # of the PNG files, which are 1,200 pixels wide; print takes the SVG files


@dataclass(frozen=True)
class Plot:
    """A figure and what is said about it.

    name: stem of its files.
    caption: one or two sentences on how to read it.
    alt: what is seen, for those who do not see it.
    """

    name: str
    title: str
    caption: str
    alt: str
    figure: Figure

    def __post_init__(self) -> None:
        """Lay the figure out once: it takes as long as drawing."""
        with rc_context(RC):
            engine = self.figure.get_layout_engine()
            if engine is not None:
                engine.execute(self.figure)
                self.figure.set_layout_engine("none")

    def svg(self) -> str:
        """The figure as a file of its own. Text stays text."""
        file = io.StringIO()
        with rc_context(RC):
            self.figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
        # Where the font is not installed another sans-serif, not the reader's default.
        return file.getvalue().replace("'DejaVu Sans'", "'DejaVu Sans', Verdana, sans-serif")

    def png(self) -> bytes:
        file = io.BytesIO()
        with rc_context(RC):
            options: dict[str, Any] = {"metadata": {"Software": None}, "pil_kwargs": {"compress_level": 3}}
            self.figure.savefig(file, format="png", dpi=DPI, **options)
        return file.getvalue()


def inline(svg: str, name: str) -> str:
    """An SVG file as an element of a page: as wide as there is room for, its ids and its style its own."""
    width, height = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg).groups()  # type: ignore[union-attr]
    body = svg[svg.index(">", svg.index("<svg")) + 1 :].strip()
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = body.replace('<style type="text/css">*{', f"<style>#{name} *{{")
    body = re.sub(r'<([^<>]*) id="', rf'<\1 id="{name}-', body)
    body = re.sub(r'href="#(?=[^<>]*>)', f'href="#{name}-', body).replace("url(#", f"url(#{name}-")
    pixels = f'width="{float(width) * 4 / 3:g}" height="{float(height) * 4 / 3:g}"'
    return f'<svg id="{name}" aria-hidden="true" {pixels} viewBox="0 0 {width} {height}">{body}'
