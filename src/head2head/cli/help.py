"""`train.py --help`, read from the yaml files."""

import re
from pathlib import Path

from head2head.experiments import SWEEP_FILE, sweep_file, with_file
from head2head.run.configuration import CONFIGS, description, options


def help_text() -> str:
    """What can be chosen and set, read from the yaml files."""
    lines = [
        "usage: python train.py [key=value ...]        one run: a head on a task with a seed",
        "       python train.py -m head=mean,max seed=1,2    several, through Hydra",
        "",
        "example: python train.py head=max task=cola data_dir=DIR seed=1 trainer.max_epochs=3",
    ]
    for group, title in (
        ("head", "head=NAME"),
        ("head/layers", "head/layers=NAME   which hidden states a head reads"),
        ("head/pool", "head/pool=NAME     how a sentence's tokens become one vector"),
        ("head/classifier", "head/classifier=NAME"),
        ("task", "task=NAME"),
        ("encoder", "encoder=NAME"),
        ("optimizer", "optimizer=NAME"),
        ("logger", "logger=NAME"),
    ):
        lines += ["", title]
        lines += [f"  {name:<20} {description(path)}" for name, path in options(group).items()]
    lines += ["", "settings (value: the default)"]
    for file, prefix in SETTINGS:
        lines += [f"  {line}" for line in settings_in(CONFIGS / file, prefix)]
    lines += [
        "  trainer.*                                    any other argument of Lightning's Trainer",
        "",
        "--hydra-help shows Hydra's own flags; --cfg job prints the configuration. A configs/ folder in the",
        "working directory adds heads, tasks and encoders of your own.",
    ]
    return "\n".join(lines)


def sweep_help_text() -> str:
    """What sweep.py takes, and which experiments there are."""
    lines = [
        "usage: python sweep.py experiment=NAME [key=value ...]    what has no result of experiments/NAME/sweep*.yaml",
        "",
        "example: python sweep.py experiment=smoke hydra/launcher=joblib",
        "",
        "experiment=NAME",
        *(f"  {name:<20} {description(sweep_file(name))}" for name in with_file(SWEEP_FILE)),
        "",
        "settings",
        "  key=value, key=value,value     for the runs, instead of the file's values: seed=0,1 task=rte data_dir=DIR",
        "  plan=true                      list the runs that are left and what they cost, and start none",
        "  retry=true                     run failed runs again",
        "  grow=false                     leave the grid of a cross-validation as it is written",
        "  check_epochs=false             do not train each fine-tuned head once for twice as long",
        "  disagreement=0.15 run_spread=0.01  what plan=true assumes to tell what can be detected",
        "  sweep_seed=0                   of method: random and bayes",
        "  hydra/launcher=basic           one run after another (default)",
        "  hydra/launcher=joblib          several on this machine: hydra.launcher.n_jobs=N",
        "  hydra/launcher=submitit_slurm  a SLURM cluster (extra: slurm): hydra.launcher.partition=...",
        "  hydra/launcher=ray             a Ray cluster (extra: ray): hydra.launcher.ray.init.address=auto",
        "",
        "A sweep that was interrupted, killed or started twice continues: finished runs are never repeated.",
    ]
    return "\n".join(lines)


def compare_help_text() -> str:
    """What compare takes."""
    lines = [
        "usage: head2head compare task=NAME [key=value ...]    which head is best on these data, by a race",
        "",
        "examples: head2head compare task=rte data_dir=DIR encoder.frozen=true      a quick answer",
        "          head2head compare task=rte data_dir=DIR budget=2h                fine-tuned",
        "          head2head compare task=table task.train=my.csv budget=30m        own data; no validation file",
        "          head2head compare task=conll task.train=FILE",
        "",
        "heads=A,B    heads to compare; by default pooler, cls, mean, max and weighted_sum, or for words",
        "             ner, ner_weighted_sum and ner_concat_last4",
        *(f"  {name:<20} {description(path)}" for name, path in options("head").items()),
        "",
        "settings",
        "  budget=30m, 2h, 40runs    what the answer may cost, over all starts together; none: as much as it takes",
        "  margin=0.01               a difference below which heads are as good as each other; 0.01 is one point",
        "  folds=5 repeats=2         at most so many rounds: each cuts the training rows anew into so many folds",
        "  run_spread=0.02           how much runs are taken to spread until the third round (frozen: 0.01)",
        "  optimizer.lr=A,B,...      learning rates to choose from for every head, and likewise other settings",
        "  retry=true                run failed runs again",
        "  plan=true                 what the race could cost; starts nothing",
        "  hydra/launcher=...        as for sweep.py; by default joblib, or none on a frozen encoder",
        "  key=value                 for all runs, as for train.py",
        "",
        "A race that was interrupted or killed goes on when the same is asked again.",
    ]
    return "\n".join(lines)


# Where the settings stand that the help lists, each in one file that has it.
SETTINGS = (
    ("train.yaml", ""),
    ("head/ner.yaml", "head."),
    ("head/pool/mean.yaml", "head.pool."),
    ("head/layers/weighted_sum.yaml", "head.layers."),
    ("head/layers/layer.yaml", "head.layers."),
    ("head/classifier/mlp.yaml", "head.classifier."),
    ("task/table.yaml", "task."),
    ("task/conll2003.yaml", "task."),
    ("encoder/any.yaml", "encoder."),
    ("optimizer/adamw.yaml", "optimizer."),
    ("trainer/default.yaml", "trainer."),
)
# Listed though their file says nothing of them, and not listed though it does.
PLAIN = {"optimizer.weight_decay", "trainer.max_epochs", "trainer.devices", "trainer.gradient_clip_val"}
UNLISTED = {"encoder.name", "encoder.lr"}  # encoder=any says the one, optimizer.lr the other


def settings_in(file: Path, prefix: str) -> list[str]:
    """The settings of a yaml file that say what they are: `name: default  # meaning`."""
    found = []
    for line in file.read_text(encoding="utf-8").splitlines():
        match = re.match(r"(\w+): (.*?)\s*(?:\s# (.*))?$", line)
        name = prefix + match.group(1) if match else ""
        if match and name not in UNLISTED and (match.group(3) or name in PLAIN):
            found.append(f"{name + ': ' + shown(match.group(2)):<44} {match.group(3) or ''}".rstrip())
    return found


def shown(default: str) -> str:
    """A default in words where yaml has a reference.

    >>> shown("${oc.env:HEAD2HEAD_DATA,null}"), shown("${encoder.lr}")
    ('$HEAD2HEAD_DATA', "the encoder's")
    """
    default = re.sub(r"\$\{oc\.env:(\w+),.*\}", r"$\1", default)
    default = re.sub(r"\$\{(?:\w+:\$\{)?(\w+)\.\w+\}.*", r"the \1's", default)
    return "none" if default == "???" else default
