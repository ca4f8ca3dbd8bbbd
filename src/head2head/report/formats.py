"""A table of text, numbers as text, and a table as Markdown, as LaTeX (booktabs) and on a terminal."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

NONE = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"$<$",
    ">": r"$>$",
    "±": r"$\pm$",
    MINUS: r"$-$",
    "·": r"$\cdot$",
    "†": r"$^\dagger$",
    "‡": r"$^\ddagger$",
    NONE: "--",
}


@dataclass(frozen=True)
class Cell:
    """A cell's text: `lead`, which is bold or not, and what follows it.

    marks: signs that are explained in the table's legend; where there is room for them `rest` says the same in words.
    """

    lead: str
    rest: str = ""
    bold: bool = False
    marks: tuple[str, ...] = ()

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


def points(size: float, digits: int = 1) -> str:
    """3.1: percentage points without a sign of their own."""
    return NONE if math.isnan(size) else f"{100 * size:.{digits}f}".replace("-", MINUS)


def p_value(p: float) -> str:
    """Four decimals, so that 1/16 and 1/128 can be told apart."""
    return NONE if math.isnan(p) else "<0.0001" if p < 0.0001 else f"{p:.4f}"


def markdown(table: Table) -> str:
    """A pipe table with its caption above and its legend below."""
    align = [":--"] * table.words + ["--:"] * (len(table.columns) - table.words)
    rows = [[_markdown_cell(cell) for cell in row] for row in table.rows]
    lines = [_pipes(map(escape_markdown, table.columns)), _pipes(align), *map(_pipes, rows)]
    parts = [escape_markdown(table.caption), "\n".join(lines), *(escape_markdown(note) for note in table.legend)]
    return "\n\n".join(parts) + "\n"


def escape_markdown(text: str) -> str:
    """Text that Markdown shows as it is, also in a table."""
    return re.sub(r"([\\`*|<])", r"\\\1", text.replace("\n", " "))


def _markdown_cell(cell: Cell) -> str:
    lead = escape_markdown(cell.lead)
    return (f"**{lead}**" if cell.bold else lead) + escape_markdown(cell.rest)


def _pipes(cells: Sequence[str] | map[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def latex(table: Table, name: str) -> str:
    r"""A `table` environment with booktabs' rules.

    Args:
        name: of the `\label`, after `tab:`.
    """
    rows = [[_latex_cell(cell) for cell in row] for row in table.rows]
    columns = "l" * table.words + "r" * (len(table.columns) - table.words)
    return "\n".join(
        [
            r"\begin{table}",
            r"  \centering",
            rf"  \caption{{{escape_latex(table.caption)}}}",
            rf"  \label{{tab:{name}}}",
            rf"  \begin{{tabular}}{{{columns}}}",
            r"    \toprule",
            "    " + _ampersands([escape_latex(column) for column in table.columns]),
            r"    \midrule",
            *("    " + _ampersands(row) for row in rows),
            r"    \bottomrule",
            r"  \end{tabular}",
            rf"  \par\footnotesize {escape_latex(' '.join(table.legend))}",
            r"\end{table}",
            "",
        ]
    )


def escape_latex(text: str) -> str:
    """Text that LaTeX sets as it is."""
    return "".join(LATEX.get(character, character) for character in text.replace("\n", " "))


def _latex_cell(cell: Cell) -> str:
    lead = escape_latex(cell.lead)
    return (rf"\textbf{{{lead}}}" if cell.bold else lead) + escape_latex(cell.rest)


def _ampersands(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"


def show(table: Table) -> None:
    """Print a table; without a terminal as plain lines, never cut short."""
    console = Console()
    if not console.is_terminal:
        rows = [table.columns, *([str(cell) for cell in row] for row in table.rows)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        print(table.caption)
        for row in rows:
            print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
    else:
        shown = RichTable(title=table.caption, title_justify="left", title_style="")
        for i, column in enumerate(table.columns):
            shown.add_column(column, justify="left" if i < table.words else "right")
        for cells in table.rows:
            shown.add_row(*(Text.assemble((cell.lead, "bold" if cell.bold else ""), cell.rest) for cell in cells))
        console.print(shown)
    for note in table.legend:
        console.print(note, markup=False, highlight=False, soft_wrap=True)
