"""What runs get wrong, as tables and as one self-contained page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from head2head.report.formats import NONE, percent
from head2head.report.page import DARK, LIGHT
from head2head.report.templates import rendered

TEMPLATE = "mistakes.html.j2"
Rows = list[list[Any]]


def title(found: dict[str, Any]) -> str:
    """What is shown, in one line.

    Args:
        found: what `head2head errors --json` prints.
    """
    runs = found.get("runs", [found.get("run")])
    names = " and ".join(f"{run['head']} (seed {run['seed']}{_score(run)})" for run in runs)
    verb = "where they differ" if len(runs) > 1 else "what it gets wrong"
    return f"{runs[0]['task']} {found['split']}: {names}: {verb}"


def _score(run: dict[str, Any]) -> str:
    return "" if run["score"] is None else f", {run['metric']} {percent(run['score'])}"


def tables(found: dict[str, Any]) -> Iterator[tuple[str, list[str], Rows]]:
    """Caption, columns and rows of each table."""
    n = found["n"]
    if "runs" in found:
        what = "sentences" if any("sentence" in e for es in found["examples"].values() for e in es) else "examples"
        groups = [[name, f"{count:,}", f"{100 * count / n:.1f} %"] for name, count in found["groups"].items()]
        yield f"Of {n:,} {what}.", ["", what, "share"], groups
    elif found["kind"] == "token":
        gold, predicted = found["entities"]["gold"], found["entities"]["predicted"]
        parts = [found[name] for name in ("kinds", "seen_in_training", "unseen_in_training")]
        rows = [[kind, *(_share(part, kind) for part in parts)] for kind in parts[0]]
        columns = ["", "all", "seen in training", "unseen"]
        yield f"{gold:,} entities in {n:,} sentences, {predicted:,} predicted.", columns, rows
    elif found["kind"] == "regression":
        yield f"{n:,} values.", ["mean absolute error"], [[f"{found['mean_absolute_error']:.4g}"]]
    if "confusion" in found:
        labels = found["labels"]
        rows = [[label, *counts] for label, counts in zip(labels, found["confusion"], strict=True)]
        wrong = f"{found['wrong']:,} of {n:,} are wrong. " if "wrong" in found else ""
        yield f"{wrong}Confusion: a row a gold label, a column a predicted one.", ["gold", *labels], rows
    examples = found["examples"]
    if isinstance(examples, list):
        caption = "Furthest off." if found["kind"] == "regression" else "The most confident mistakes."
        examples = {caption: examples}
    for name, listed in examples.items():
        if listed:
            columns = [key for key in listed[0] if key != "index"]
            rows = [[_cell(example.get(key)) for key in columns] for example in listed]
            count = found.get("kinds", found.get("groups", {})).get(name)
            shown = f"{name} ({len(rows):,} of {count:,})" if count is not None and count > len(rows) else name
            yield shown, [key.replace("_", " ") for key in columns], rows


def _share(counts: dict[str, int], kind: str) -> str:
    """`12 (3.4 %)` of the gold entities; what is spurious is none of them."""
    if kind not in counts:
        return NONE
    total = sum(count for name, count in counts.items() if name != "spurious")
    return f"{counts[kind]:,}" + (f" ({100 * counts[kind] / total:.1f} %)" if total and kind != "spurious" else "")


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    return NONE if value is None or value == "" else str(value)


def html(found: dict[str, Any]) -> str:
    """The page; it needs no other file. Everything in it is escaped."""
    matrix = zip(found.get("labels", ()), found.get("confusion", ()), strict=True)
    shaded = {label: _shades(counts) for label, counts in matrix}
    return rendered(
        TEMPLATE,
        title=title(found),
        tables=list(tables(found)),
        runs=found.get("runs", [found.get("run")]),
        shaded=shaded,
        palettes={"light": LIGHT, "dark": DARK},
    )


def _shades(counts: list[int]) -> list[float]:
    """Of a row of a confusion matrix each count's share."""
    return [round(count / max(sum(counts), 1), 3) for count in counts]
