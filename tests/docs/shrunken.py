"""What a page's command becomes so that it ends in seconds: small data, a small encoder, few steps, and a finished run
in place of RUN. And which commands are not run, each with its reason."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from documented import Command

# What is only understood (see understood.py), and why it is not run.
NOT_RUN = {
    r"^(HEAD2HEAD_DATA=DIR )?make bench|benchmarks/": "takes up to an hour; see tests/test_benchmarks.py",
    r"^make (train|test)$|^pip install": "installs a new environment",
    r"^make reproduce": "does what the command above it does",
    r"^wandb ": "needs W&B's server and an account",
    r"hydra/launcher=submitit_slurm": "needs a cluster; tests/sweep/test_slurm.py has a made-up one",
    r"hydra/launcher=ray": "needs a cluster; tests/sweep/test_launchers.py has one",
    r"^conlleval ": "is another project's program",
}

RUN = {"trainer.max_steps": "2", "task.train_rows": "16", "threads": "1", "trainer.accelerator": "cpu",
       "trainer.enable_progress_bar": "false"}  # fmt: skip
ENCODER = {"encoder": "random-tiny", "encoder.config.num_hidden_layers": "4"}
SWEEP = RUN | ENCODER
# Of sweeps: some of their runs.
CROSS_VALIDATION = {"task": "rte", "head": "mean", "fold": "0", "repeat": "0", "optimizer.lr": "1e-3"}
PART = {
    "smoke": {},
    "tiny": {},
    "diagnostics": {"task": "needle", "head": "mean,max", "seed": "0,1"},
    "diagnostics_fine_tuned": {"task": "needle", "head": "mean,max", "seed": "0,1"},
    "glue_heads": CROSS_VALIDATION | {"head": "mean,max"},
    "glue_heads_frozen": CROSS_VALIDATION,
    "glue_bert_base": {"task": "rte", "seed": "0"},
    "conll_feature_based": {"head/layers": "last,second_to_last", "seed": "0", "head.classifier.hidden": "8"},
    "conll_heads": {"seed": "0"},
}
COMPARE = SWEEP | {"folds": "2", "repeats": "1", "optimizer.lr": "1e-3"}


def why_not_run(command: Command) -> str | None:
    """The reason, for a command that is not run."""
    return next((reason for pattern, reason in NOT_RUN.items() if re.search(pattern, command.text)), None)


def shrink(command: Command, runs: Mapping[str, Path]) -> list[str]:
    """The words of a command on small data, beginning with head2head or with a program of the shell.

    Args:
        runs: folders of finished runs, by kind: see `check_pages.finish`.
    """
    words = in_place(command, runs)
    words = ["head2head", words[1].removesuffix(".py"), *words[2:]] if words[0] == "python" else words
    if words[0] != "head2head" or command.answer:
        return words
    verb, *rest = words[1:]
    return ["head2head", verb, *SMALL.get(verb, as_it_is)(rest)]


def in_place(command: Command, runs: Mapping[str, Path]) -> list[str]:
    """The words with folders of runs where the page says RUN, or names one of its own."""
    words = command.words
    if "submit" in words:
        return [*words[:2], str(runs["rte"]), str(runs["stsb"]), *words[words.index("--out") :]]
    if "eng.testb" in words:
        kind = "words"
    elif "--pair" in words:
        kind = "pairs"
    elif "test" in words:
        kind = "rte"
    else:
        kind = "texts"
    own = {"RUN": str(runs[kind]), "OTHER": str(runs["other"])}
    return [own.get(word, re.sub(r"lightning_logs/\S+", own["RUN"], word)) for word in words]


def replaced(arguments: Sequence[str], small: Mapping[str, str]) -> list[str]:
    """Settings with others in their place: those of the same name go, and where there is none they are added."""
    kept = [word for word in arguments if word.partition("=")[0] not in small]
    return [*kept, *(f"{name}={value}" for name, value in small.items())]


def train(arguments: Sequence[str]) -> list[str]:
    given = dict(word.split("=", 1) for word in arguments if "=" in word)
    own = given.get("encoder") in ("any", "small")  # the command is about the encoder
    small = RUN if own else RUN | ENCODER
    if given.get("trainer.max_epochs") == "0":
        small = {name: value for name, value in small.items() if name != "trainer.max_steps"}
    if "," in given.get("seed", ""):
        small = small | {"seed": "0,1"}
    return replaced(arguments, small)


def sweep(arguments: Sequence[str]) -> list[str]:
    (experiment,) = (word.partition("=")[2] for word in arguments if word.startswith("experiment="))
    if "plan=true" in arguments:
        return list(arguments)
    small = SWEEP | PART[experiment]
    if any(word.startswith(("hydra/launcher", "logger")) for word in arguments):
        small = small | {"optimizer.lr": "2e-3"}  # not what another command has done
    return replaced(arguments, small)


def compare(arguments: Sequence[str]) -> list[str]:
    if "plan=true" in arguments:
        return list(arguments)
    heads = "ner,ner_weighted_sum" if "task=conll" in arguments else "mean,max"
    fine_tuned = [] if "encoder.frozen=true" in arguments else ["hydra/launcher=basic"]
    return [*replaced(arguments, COMPARE | {"heads": heads}), *fine_tuned]


def outputs(arguments: Sequence[str]) -> list[str]:
    return [*arguments, "--encoder", "random-tiny"]


def reproduce(arguments: Sequence[str]) -> list[str]:
    """Of an experiment whose runs were made here: those of the committed one need the data that they were made with."""
    return ["smoke" if word == "glue_heads_frozen" else word for word in arguments]


def as_it_is(arguments: Sequence[str]) -> list[str]:
    return list(arguments)


SMALL = {"train": train, "sweep": sweep, "compare": compare, "outputs": outputs, "reproduce": reproduce}
