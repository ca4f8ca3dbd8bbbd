"""Run every command that the pages show, on small data: `make docs-check`, or for some pages
`python tests/docs/check_pages.py docs/export.md`. Takes a few minutes.

Commands run in the order of their page, in a folder that all of them share and that has what the pages speak of. Those
that cannot run here are checked without being run (see shrunken.NOT_RUN, where each has its reason).
"""

import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from documented import ROOT, Command, commands
from shrunken import RUN, replaced, shrink, why_not_run
from understood import understand
from world import furnish

from forked import Forked

MINUTES = 5  # after which a command is taken to hang
OWN = {"task.train": "my.csv", "task.validation": "dev.csv", "encoder": "random-tiny"}
PAIRS = {"task.train": "a.jsonl", "task.validation": "b.jsonl", "task.text": "question", "task.text_pair": "answer"}
RUNS = {
    "texts": ["head=pooler", "task=table", *replaced([], OWN)],
    "other": ["head=mean", "task=table", *replaced([], OWN)],
    "pairs": ["head=mean", "task=table", *replaced([], OWN | PAIRS), "task.label=score", "task.target=regression"],
    "rte": ["head=mean", "task=rte", "encoder=random-tiny"],
    "stsb": ["head=mean", "task=stsb", "encoder=random-tiny"],
    "words": ["head=ner", "task=conll2003", "encoder=random-tiny"],
}


class Failed(Exception):
    """A command that did not do what its page says; the text is what it printed."""


def main(names: list[str]) -> int:
    """Returns the exit status."""
    shown = [command for command in commands() if not names or command.page in names]
    if unknown := set(names) - {command.page for command in shown}:
        print(f"no page with commands: {sorted(unknown)[0]}", file=sys.stderr)
        return 2
    failed = 0
    with tempfile.TemporaryDirectory(prefix="pages-") as folder:
        os.chdir(folder)
        furnish(Path(folder))
        os.environ |= {
            "HEAD2HEAD_DATA": f"{folder}/DIR", "HEAD2HEAD_CACHE": f"{folder}/cache", "WANDB_MODE": "offline",
            "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "MPLBACKEND": "Agg",
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "COLUMNS": "120",
        }  # fmt: skip
        runs = finish()
        for command in shown:
            started = time.perf_counter()
            try:
                said = check(command, runs)
            except Exception as error:
                failed += 1
                said = f"FAILED\n{error}"
            print(f"{time.perf_counter() - started:5.1f} s  {command}: {said}", flush=True)
        os.chdir(ROOT)
    print(f"{len(shown)} commands, {failed} failed")
    return 1 if failed else 0


def finish() -> dict[str, Path]:
    """Folders of a finished run of each kind, and results of the smoke experiment."""
    found = {}
    for kind, settings in RUNS.items():
        printed = run(["head2head", "train", *replaced(settings, RUN)])
        found[kind] = Path(printed.strip().rpartition(" · ")[2])
    run(["head2head", "sweep", "experiment=smoke", "task=needle", "head=mean,max", "seed=0"])
    return found


def check(command: Command, runs: dict[str, Path]) -> str:
    """What came of a command in the working directory.

    Raises:
        Failed, or what `understand` does.
    """
    reason = why_not_run(command)
    if not command.answer:
        understand(command)
    if reason is not None:
        return f"not run: {reason}"
    words = shrink(command, runs)
    if not command.answer:
        run(words, command.needs_a_shell)
        return "ok"
    printed = run(words, expected=1)
    if "\n".join(printed.strip().splitlines()[-len(command.answer.splitlines()) :]) != command.answer:  # bars above it
        raise Failed(f"{printed}instead of\n{command.answer}")
    return "prints what the page says"


def run(words: list[str], shell: bool = False, expected: int = 0) -> str:
    """What a command prints on standard output, or where it is to fail on standard error.

    Raises:
        Failed: it ends with another status, or not at all.
    """
    if shell:
        line = " ".join(word if word in ("|", "<", ">") else shlex.quote(word) for word in words)
        done = subprocess.run(["bash", "-c", f"set -o pipefail; {line}"], capture_output=True, text=True)
        status, printed, errors = done.returncode, done.stdout, done.stderr
    elif words[0] != "head2head":
        raise Failed(f"{words[0]}: neither a verb of head2head nor among those that are not run (shrunken.NOT_RUN)")
    else:
        process = Forked(words[1], words[2:], Path.cwd())
        try:
            printed, errors = process.communicate(timeout=60 * MINUTES)
        except subprocess.TimeoutExpired:
            process.kill()
            raise Failed(f"{shlex.join(words)}\nhas not ended after {MINUTES} minutes") from None
        status = process.returncode
    if status != expected:
        raise Failed(f"{shlex.join(words)}\nended with {status}\n{printed[-1000:]}{errors[-3000:]}")
    return errors if expected else printed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
