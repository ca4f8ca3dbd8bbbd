"""How the runs of an experiment came about, in sentences."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from head2head.report.runs import Experiment


def footnotes(experiment: Experiment) -> list[str]:
    """Seeds, encoders, devices, threads, commits, versions, and what was remarked when the runs were read."""
    frame, results = experiment.frame, experiment.results
    encoders = sorted({str(result.config.get("encoder", {}).get("name")) for result in results})
    commits = [commit[:10] + "+" * commit.endswith("+") for commit in _known(frame["git_commit"])]
    notes = [
        f"{len(frame)} runs; seeds {_listed(sorted(set(frame['seed'])))}.",
        _kinds("Encoder", encoders),
        _kinds("Device", _known(frame["device"])),
        _kinds("Threads", _known(frame["threads"])),
        _kinds("Commit (+: with uncommitted changes)" if "+" in "".join(commits) else "Commit", commits),
    ]
    for package in ("head2head", "torch", "transformers"):
        versions = _known(pd.Series([result.versions.get(package) for result in results]))
        if versions:
            notes.append(_kinds(package, versions))
    if any("minilm" in name.lower() for name in encoders) and any("pooler" in base for base in frame["base"]):
        notes.append(
            "The pooler of MiniLM was not trained on next-sentence prediction, as BERT's was (MiniLM is distilled, and "
            "all-MiniLM-L6-v2 was then tuned with mean pooling): what it scores here says little of BERT's pooler."
        )
    return notes + experiment.remarks


def _known(values: pd.Series) -> list[str]:
    return sorted({str(value) for value in values if value is not None and value == value and value != ""})


def _kinds(what: str, values: list[str]) -> str:
    several = f"runs differ, {len(values)} kinds: " if len(values) > 1 else ""
    return f"{what}: {several}{', '.join(values) or 'not recorded'}."


def _listed(numbers: Iterable[int]) -> str:
    """0-4, 7"""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)
