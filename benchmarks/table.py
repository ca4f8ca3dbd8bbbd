"""results.md from results.json alone."""

from collections.abc import Iterator
from typing import Any

import sections

HEAD = """# How fast

Made from `results.json` by `make bench`, which measures everything anew, or by `python benchmarks/bench.py --table`,
which measures nothing. Ratios are medians over rounds of the ratio within a round, with the smallest and the largest;
above 1, head2head needs less.
"""

SMOKE = " **Tiny sizes (`--smoke`): these numbers mean nothing.**"

# part -> title, and what makes its text of its pieces; in the order of the page
SECTIONS = {
    "finetuning": ("Fine-tuning", sections.finetuning),
    "tricks": ("What each trick buys", sections.tricks),
    "memory": ("Memory of fine-tuning", sections.memory),
    "start": ("To the first step", sections.start),
    "launchers": ("Runs side by side", sections.launchers),
    "overhead": ("A sweep besides training", sections.overhead),
    "frozen": ("Frozen encoder", sections.frozen),
    "frozen_memory": ("Memory with a frozen encoder", sections.frozen_memory),
}


def document(parts: dict[str, dict[str, Any]]) -> str:
    """The whole page. A part that failed says why and shows what it has; one that was not measured says so."""
    text = [HEAD, *machines(parts)]
    for name, (title, section) in SECTIONS.items():
        part = parts.get(name, {"units": {}, "finished": True, "error": None})
        text.append(f"## {title}\n")
        if not part["finished"]:
            text.append(f"Not finished: {part['error'] or 'broken off'}\n")
        text.append(section(part["units"]) if part["units"] else "Not measured.\n")
    return "\n".join(text)


def machines(parts: dict[str, dict[str, Any]]) -> Iterator[str]:
    """What the numbers were measured on: once where it is the same for all parts."""
    found: dict[str, list[str]] = {}
    for name in [name for name in SECTIONS if name in parts]:
        found.setdefault(machine(parts[name]["about"]), []).append(SECTIONS[name][0])
    for line, titles in found.items():
        yield sections.prose(line + (f" ({', '.join(titles)})" if len(found) > 1 else ""))


def machine(about: dict[str, Any]) -> str:
    """One line on a machine and its versions."""
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    return (
        f"{about['processor']}, {about['instructions']}, {sections.times(about['cores'], 'core')}, "
        f"{sections.times(about['threads'], 'thread')}, "
        f"{about['memory'] / 2**30:.0f} GiB, {about['system']}. {about['date']}, commit {about['commit']}, load "
        f"before {about['load']:.1f}. {versions}.{SMOKE * about['smoke']}"
    )
