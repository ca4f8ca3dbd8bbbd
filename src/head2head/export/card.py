"""The model card (Mitchell et al. 2019) that an exported folder carries: README.md, with the head for the hub."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet
import yaml

from head2head.export import licences
from head2head.run.canonical import NOT_IN_KEY
from head2head.run.load import LoadedRun

KINDS = {
    # form: (library, what the hub calls the use of sentence models)
    "transformers": ("transformers", "text-classification"),
    "sentence-transformers": ("sentence-transformers", "sentence-similarity"),
    "onnx": ("onnx", "text-classification"),
}


def card(run: LoadedRun, form: str) -> str:
    """The text of README.md.

    Args:
        form: of the export, one of KINDS.
    """
    return "\n".join(
        [
            "---",
            yaml.safe_dump(front(run, form), sort_keys=False, allow_unicode=True).rstrip(),
            "---",
            "",
            f"# {run.result.head} on {run.result.task}",
            "",
            *what(run, form),
            "",
            "## Use",
            "",
            *usage(run, form),
            "",
            "## Scores",
            "",
            *scores(run),
            "",
            "## Training",
            "",
            *training(run),
            "",
            "## Licences",
            "",
            *terms(run),
            "",
            "## Not for",
            "",
            *(f"- {line}" for line in not_for(run)),
            "",
        ]
    )


def front(run: LoadedRun, form: str) -> dict[str, Any]:
    """What the hub reads."""
    library, use = KINDS[form]
    name, random = encoder_of(run)
    licence = licences.of_encoder(name, random)
    found: dict[str, Any] = {"library_name": library, "tags": ["head2head"]}
    found["pipeline_tag"] = "token-classification" if run.task.kind == "token" else use
    if run.result.task in licences.RESEARCH_ONLY:
        found["license"] = "other"
    elif licence is not None and run.result.task in licences.DATA:  # of others nobody here knows
        found["license"] = licence
    if not random and name.count("/") == 1 and not Path(name).exists() and not Path(name).is_absolute():
        found["base_model"] = name
    return found


def encoder_of(run: LoadedRun) -> tuple[str, bool]:
    """The encoder's name, and whether it began with random weights."""
    return str(run.config["encoder"]["name"]), run.config["encoder"].get("config") is not None


def what(run: LoadedRun, form: str) -> list[str]:
    """What the model is, in a paragraph."""
    task, result = run.task, run.result
    name, random = encoder_of(run)
    weights = (
        "started from random weights" if random else "weights that were not changed" if frozen(run) else "fine-tuned"
    )
    lines = [
        f"The encoder `{name}` ({weights}) with the head `{result.head}`, trained with head2head "
        f"{result.versions.get('head2head', '')} on `{result.task}` and exported for {form}."
    ]
    if task.labels:
        lines.append(f"Labels: {', '.join(f'`{label}`' for label in task.labels)}.")
    elif form != "sentence-transformers":
        lines.append("It gives one number, on the scale of the training labels.")
    lines.append(f"It reads at most {task.max_length} word pieces, special ones included; what is beyond is cut off.")
    if form == "sentence-transformers":
        lines.append("It gives the vector of a text; the layer that made a label of it is not part of this form.")
        if task.has_pairs and not task.apart:
            lines.append("In training it read two texts as one sequence; vectors of single texts are new to it.")
    return lines


def frozen(run: LoadedRun) -> bool:
    """Whether training changed nothing of the encoder."""
    return run.config["encoder"].get("frozen") is True


def usage(run: LoadedRun, form: str) -> list[str]:
    """A few lines of Python."""
    if form == "sentence-transformers":
        code = [
            "from sentence_transformers import SentenceTransformer",
            "",
            'model = SentenceTransformer("THIS_FOLDER")',
            'vectors = model.encode(["a text", "another"])',
        ]
    elif form == "transformers":
        token = run.task.kind == "token"
        task = "token-classification" if token else "text-classification"
        option = ', aggregation_strategy="first"' if token else ""
        text = '{"text": "a text", "text_pair": "another"}' if run.task.has_pairs else '"a text"'
        code = [
            "from transformers import pipeline",
            "",
            f'predict = pipeline("{task}", model="THIS_FOLDER"{option})',
            f"predict({text}{'' if token else ', truncation=True'})",
        ]
    else:
        text = '"a text", "another"' if run.task.has_pairs else '"a text"'
        special = ", return_special_tokens_mask=True" if leaves_out_special(run) else ""
        code = [
            "import onnxruntime",
            "from transformers import AutoTokenizer",
            "",
            'tokenizer = AutoTokenizer.from_pretrained("THIS_FOLDER")',
            'session = onnxruntime.InferenceSession("THIS_FOLDER/model.onnx")',
            f'batch = tokenizer({text}, truncation=True, return_tensors="np"{special})',
            "inputs = {entry.name: batch[entry.name] for entry in session.get_inputs()}",
            '(logits,) = session.run(["logits"], inputs)',
        ]
        if run.task.kind == "token":
            piece = getattr(run.model.head, "subword", "first")
            return ["```python", *code, "```", "", f"A word's label is read at its {piece} word piece."]
    return ["```python", *code, "```"]


def leaves_out_special(run: LoadedRun) -> bool:
    """Whether the head pools without [CLS] and [SEP]."""
    return not getattr(getattr(run.model.head, "pool", None), "special_tokens", True)


def scores(run: LoadedRun) -> list[str]:
    """A table: each metric of each split the run was scored on, with n and what a constant prediction scores."""
    result = run.result
    lines = ["| split | n | metric | score | constant prediction |", "| --- | ---: | --- | ---: | ---: |"]
    for split, values in result.metrics.get("last", {}).items():
        count = predicted(run.folder / f"predictions-{split}.parquet")
        for name, value in values.items():
            baseline = result.baseline.get(split, {}).get(name)
            constant = "-" if baseline is None else f"{baseline:.4f}"
            lines.append(f"| {split} | {'-' if count is None else f'{count:,}'} | {name} | {value:.4f} | {constant} |")
    unit = "words" if run.task.kind == "token" else "texts"
    return [*lines, "", f"n counts {unit}. One run, seed {result.seed}: another seed gives another score."]


def predicted(path: Path) -> int | None:
    """Number of predictions in a file of a run's folder; None where it is gone."""
    try:
        return pyarrow.parquet.read_metadata(path).num_rows
    except (OSError, pyarrow.ArrowInvalid):
        return None


def training(run: LoadedRun) -> list[str]:
    """What to type for the same run, and what it was trained on."""
    result, lines = run.result, []
    command = shlex.join(["head2head", "train", *typed(result.overrides)])
    lines += ["```bash", command, "```", ""]
    rows = run.config["task"].get("train_rows")
    lines.append(f"- data: `{result.task}`" + (f", {rows:,} of its training rows" if rows else ""))
    lines += [f"- {split}: rows with the hash `{digest[:16]}`" for split, digest in result.data.items()]
    lines += [f"- {note}" for note in (*result.notes, *result.data_warnings)]
    lines.append(f"- seed {result.seed}, {result.steps:,} steps, key `{result.key[:16]}`")
    lines.append("- " + ", ".join(f"{name} {version}" for name, version in result.versions.items()))
    return lines


def typed(overrides: Sequence[str]) -> list[str]:
    """What was typed, without what has no part in the result, such as folders of one machine."""
    named = {"data_dir": "data_dir=DIR"}
    found = ((override.lstrip("+~").partition("=")[0], override) for override in overrides)
    return [
        named.get(name, override) for name, override in found if name in {*named, "threads"} or name not in NOT_IN_KEY
    ]


def terms(run: LoadedRun) -> list[str]:
    """Licences of data and encoder."""
    name, random = encoder_of(run)
    licence = licences.of_encoder(name, random) or licences.UNKNOWN
    return [f"- encoder `{name}`: {licence}", f"- data `{run.result.task}`: {licences.of_data(run.result.task)}"]


def not_for(run: LoadedRun) -> list[str]:
    """What the model must not be used for."""
    result, lines = run.result, []
    if result.collapsed:
        lines.append("Anything: it predicts the same for every text (a collapsed run).")
    elif result.above_baseline is False:
        lines.append("Anything: its score is not above that of a constant prediction.")
    lines += [
        "Decisions about people (credit, work, justice, health, moderation) that nobody checks.",
        "Texts unlike those of its training data, in kind or language, without a score on a sample of these.",
        f"Claims that `{result.head}` is a better or worse head: one run with one seed cannot tell.",
    ]
    if result.task in licences.RESEARCH_ONLY:
        lines.append("Commercial use, which the terms of its training data do not allow.")
    return lines
