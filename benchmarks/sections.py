"""What results.md says of each part: its pieces made into a text with tables."""

from collections.abc import Callable, Iterable, Sequence
from statistics import median
from textwrap import fill
from typing import Any

import flops
from contestants import NAMES, OURS, TRAINER
from machine import PEAK
from tricks import EXACT, FAST

Units = dict[str, dict[str, Any]]
MIB, GIGA = 2**20, 1e9
TITLES = {"cola": "CoLA"}


def finetuning(units: Units) -> str:
    """Texts a second, ratios, and useful GFLOP/s."""
    tasks = by_task(units)
    if not tasks:
        return "Not measured.\n"
    products = [values for unit, values in units.items() if unit.startswith("products/")]
    return "\n".join([how(tasks), *speeds(tasks), *efficiencies(tasks, products)])


def by_task(units: Units) -> dict[str, list[dict]]:
    """Task -> rounds, in each what every contestant did."""
    found: dict[str, list[dict]] = {}
    for unit, values in units.items():
        task = unit.partition("/")[0]
        if task != "products":
            found.setdefault(task, []).append(values)
    return found


def how(tasks: dict[str, list[dict]]) -> str:
    """What was done, in words."""
    one = {task: rounds[0] for task, rounds in tasks.items()}
    first = next(iter(one.values()))
    sizes = [f"{title(t)} {r['mean']['texts']} texts of {r['mean']['tokens']} word pieces" for t, r in one.items()]
    fewer = [f"{NAMES[name]}: {first[name]['texts']}" for name in ("padded", "dynamic")]
    return prose(f"""MiniLM, batch 32, at most 128 word pieces. One epoch over the same rows ({", ".join(sizes)}), or
        fewer for those who do not sort them ({"; ".join(fewer)}). The Trainer trains BertForSequenceClassification with
        its own defaults (optimizer {first["dynamic"]["optimizer"]}); ours are `speed=fast`. Timed in
        training, from the start of the first step to the end of the last, each in a process of its own, in turn;
        {times(min(map(len, tasks.values())), "round")}.""")


def speeds(tasks: dict[str, list[dict]]) -> list[str]:
    """Texts a second, and how many times as many as the Trainer."""

    def per_second(one: dict) -> float:
        return one["texts"] / one["seconds"]

    def ratio(rounds: list[dict], own: str, peer: str) -> str:
        return spread([per_second(one[own]) / per_second(one[peer]) for one in rounds])

    ratios = [
        [f"{title(task)}, {NAMES[own]}", *(ratio(rounds, own, peer) for peer in TRAINER)]
        for task, rounds in tasks.items()
        for own in OURS
    ]
    return [
        "Texts a second:\n",
        grid(tasks, lambda rounds, name: f"{median(per_second(one[name]) for one in rounds):.1f}"),
        "How many times as fast as\n",
        markdown(["", *(NAMES[peer] for peer in TRAINER)], ratios),
    ]


def efficiencies(tasks: dict[str, list[dict]], products: list[dict[str, float]]) -> list[str]:
    """Useful GFLOP/s and their share of the machine's."""
    shape = next(iter(tasks.values()))[0]["mean"]["shape"]
    top = max(one.get(PEAK, 0) for one in products)

    def cell(rounds: list[dict], name: str) -> str:
        found = median(flops.useful(shape, r[name]["tokens"]) / r[name]["seconds"] for r in rounds) / GIGA
        return f"{found:.1f}" + (f" ({100 * found / top:.0f} %)" if top else "")

    def left(rounds: list[dict]) -> float:
        own = rounds[0]["pooler"]
        return flops.with_first_token(shape, own["tokens"], own["texts"]) / flops.useful(shape, own["tokens"])

    done = ", ".join(f"{100 * left(rounds):.0f} % ({title(task)})" for task, rounds in tasks.items())
    best = ", ".join(f"{name} {max(p[name] for p in products):.0f}" for name in products[0] if name != PEAK)
    share = (
        f"In brackets the share of the machine's peak, {top:.0f} GFLOP/s: a loop of multiply-adds on registers."
        if top
        else "The machine's peak was not measured."
    )
    return [
        prose(f"""Useful GFLOP/s: 6 x parameters of the layers ({flops.parameters(shape) / 1e6:.2f} million; no
            embeddings, no head) x real word pieces / seconds. {share} `head=pooler` is counted as if it computed the
            whole last layer; its one-token layer leaves {done} of that to be done."""),
        grid(tasks, cell),
        prose(f"GFLOP/s of torch.mm by shape, the best of all rounds: {best}."),
    ]


def grid(tasks: dict[str, list[dict]], cell: Callable[[list[dict], str], str]) -> str:
    """A row a contestant, a column a task."""
    rows = [[told, *(cell(rounds, name) for rounds in tasks.values())] for name, told in NAMES.items()]
    return markdown(["", *map(title, tasks)], rows)


def tricks(units: Units) -> str:
    """What each trick buys with no other, and with all others, by two clocks."""
    tasks = by_task(units)
    one = next(iter(tasks.values()))[0]["alone"]
    names = [way.removeprefix("only ") for way in one if way.startswith("only ")]

    def ratio(rounds: list[dict], side: str, slower: str, quicker: str, clock: str) -> str:
        return spread([r[side][slower][clock] / r[side][quicker][clock] for r in rounds])

    def rows(clock: str) -> list[list[str]]:
        found = [
            [name, *(cell for rounds in tasks.values() for cell in (
                ratio(rounds, "alone", EXACT, f"only {name}", clock),
                ratio(rounds, "last", f"without {name}", FAST, clock)))]
            for name in names
        ]  # fmt: skip
        together = [cell for rounds in tasks.values() for cell in (ratio(rounds, "alone", EXACT, FAST, clock), "")]
        return [*found, ["all of them", *together]]

    sizes = ", ".join(f"{title(task)} {rounds[0]['alone'][EXACT]['steps']} steps" for task, rounds in tasks.items())
    text = prose(f"""Fine-tuning with `head=pooler` ({sizes}), each way in a process of its own, all of a column at the
        same time, in turn step by step; {times(min(map(len, tasks.values())), "round")}. Alone: seconds of
        `speed=exact` / seconds with that trick and no other. Last: seconds of `speed=fast` without it / seconds of
        `speed=fast`. Above 1, it saves time.""")
    head = ["", *(f"{title(task)}, {what}" for task in tasks for what in ("alone", "last"))]
    clocks = {"seconds": "By the wall's clock:\n", "processor_seconds": "By processor time, over all threads:\n"}
    return "\n".join([text, *(said + "\n" + markdown(head, rows(clock)) for clock, said in clocks.items())])


def memory(units: Units) -> str:
    """Peak resident sets, and how many times ours they are."""
    steps = next(iter(units.values()))["steps"]
    own = {name: units[name]["peak"] for name in OURS if name in units}
    rows = [
        [NAMES[name], f"{one['peak'] / MIB:.0f} MiB", *(f"{one['peak'] / least:.2f}" for least in own.values())]
        for name, one in units.items()
    ]
    text = prose(f"""RTE, {times(steps, "step")}, each contestant in a process of its own: peak resident set by the end
        of the last step, libraries included.""")
    return text + "\n" + markdown(["", "peak", *(f"times that of {NAMES[name]}" for name in own)], rows)


def start(units: Units) -> str:
    """Seconds to the first step besides the imports."""
    rounds = list(units.values())
    own = [one["first_step"] - one["imports"] for one in rounds]
    cells = [*(f"{median(one[name] for one in rounds):.2f}" for name in ("first_step", "imports")), spread(own)]
    text = prose(f"""`train.py head=mean task=cola` from its command to its first training step, caches warm, and
        `python -c "import torch, transformers, pytorch_lightning"`, in turn; seconds,
        {times(len(rounds), "round")}.""")
    return text + "\n" + markdown(["to the first step", "imports alone", "difference"], [cells])


def launchers(units: Units) -> str:
    """A sweep with two workers and one without."""
    rounds = list(units.values())
    walls = [f"{median(one[way]['wall'] for one in rounds):.1f}" for way in ("basic", "joblib")]
    ratio = spread([one["basic"]["wall"] / one["joblib"]["wall"] for one in rounds])
    text = prose(f"""The same {rounds[0]["basic"]["runs"]} fine-tuned runs (CoLA, one epoch) with `sweep.py`: one after
        another with two threads, and two at a time with one thread each (`hydra/launcher=joblib
        hydra.launcher.n_jobs=2`), in turn. Seconds of the whole command, all starts included;
        {times(len(rounds), "round")}.""")
    return text + "\n" + markdown(["one after another", "two at a time", "ratio"], [[*walls, ratio]])


def overhead(units: Units) -> str:
    """What a sweep takes besides training, a run."""
    rounds = list(units.values())
    wall, imports = (median(one[name] for one in rounds) for name in ("wall", "imports"))
    cells = [f"{wall:.1f}", f"{median(map(trained, rounds)):.1f}", f"{imports:.1f}", spread([*map(besides, rounds)])]
    runs, workers = rounds[0]["runs"], rounds[0]["workers"]
    text = prose(f"""{runs} runs that train next to nothing (random-tiny, needle, 64 rows, one epoch) with {workers}
        workers of joblib: (seconds of the whole command - seconds of training and validation that the runs record,
        over all runs, / {workers} - seconds of one `python -c "import torch, transformers, pytorch_lightning"`) /
        {runs}. What is left is the start of the sweep and its plan, what else the workers do to start, and of every
        run its configuration, data, encoder, claim and files; {times(len(rounds), "round")}.""")
    return text + "\n" + markdown(["whole command", "training and validation", "imports", "left, a run"], [cells])


def trained(sweep: dict) -> float:
    """Seconds of training and validation, over all runs."""
    return sweep["seconds"]["train"] + sweep["seconds"]["validation"]


def besides(sweep: dict) -> float:
    """Seconds a run that are neither training nor the imports."""
    return (sweep["wall"] - trained(sweep) / sweep["workers"] - sweep["imports"]) / sweep["runs"]


def frozen(units: Units) -> str:
    """The sweep on a frozen encoder, in passes of the encoder and beside the Trainer."""
    once, sweep, attention, trainer = (units.get(name) for name in ("pass", "sweep", "attention", "trainer"))
    rows, ratios = [], []
    if once:
        rows.append([f"one pass of the encoder: {once['texts']} texts, training and validation", once["seconds"]])
    if sweep:
        many = f"{sweep['runs']} runs x {times(sweep['epochs'], 'epoch')}"
        rows.append([f"`sweep.py`, whole command, nothing cached: {many}", sweep["wall"]])
        rows.append(["of that, without starts: from configurations to results", sweep["seconds"]["total"]])
        rows.append(["of that, training and scoring", trained(sweep)])
    if attention:
        rows.append([f"the same with `head=attention`: {attention['runs']} runs, whole command", attention["wall"]])
        rows.append(["of that, training and scoring", trained(attention)])
    if trainer:
        rows.append([f"Trainer, measured: one epoch, {times(trainer['steps'], 'step')}", trainer["seconds"]])
    if sweep and trainer:
        estimate = trainer["seconds"] * sweep["runs"] * sweep["epochs"]
        rows.append([f"Trainer, an estimate: that x {many}", estimate])
        ratios.append(f"{estimate / sweep['wall']:.1f} times as fast as the estimate")
    if sweep and once:
        passes = [f"{seconds / once['seconds']:.1f}" for seconds in (sweep["wall"], sweep["seconds"]["total"])]
        ratios.append(f"as long as {passes[0]} passes of the encoder, {passes[1]} without starts")
    heads = f" ({', '.join(sweep['heads'])})" if sweep else ""
    text = prose(f"""CoLA. The sweep of heads{heads} and seeds scores its runs after every epoch. The Trainer never
        does; its texts are grouped by length, its pooler is frozen too, and it is timed from the first step to the
        last.""")
    table = markdown(["", "seconds"], [[told, f"{seconds:.1f}"] for told, seconds in rows])
    return "\n".join([text, table, *([f"The sweep is {' and '.join(ratios)}.\n"] if ratios else [])])


def frozen_memory(units: Units) -> str:
    """Anonymous memory by number of rows."""
    rows = [
        [count, *(f"{one[name] / MIB:.0f} MiB" for name in ("peak", "cached")), f"{one['seconds']:.0f} s"]
        for count, one in units.items()
    ]
    text = prose("""`train.py task=sst2 head=attention encoder.frozen=true`, one epoch, nothing cached: a head that
        reads every token's features. The peak of the process's anonymous memory (RssAnon, which has no mapped files
        in it), looked at every 20 ms.""")
    return text + "\n" + markdown(["training rows", "anonymous memory", "files in the cache", "took"], rows)


def title(task: str) -> str:
    """A task's name as papers write it."""
    return TITLES.get(task, task.upper())


def spread(values: Sequence[float]) -> str:
    """The median, and from where to where."""
    several = f" ({min(values):.2f} to {max(values):.2f})" if len(values) > 1 else ""
    return f"{median(values):.2f}{several}"


def times(count: int, what: str) -> str:
    """1 round, 2 rounds."""
    return f"{count} {what}{'s' * (count != 1)}"


def prose(text: str) -> str:
    """A paragraph in lines of one width."""
    return fill(" ".join(text.split()), 120, break_long_words=False, break_on_hyphens=False) + "\n"


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; the first column says what a row is."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
