"""Measure how fast head2head is beside the Hugging Face Trainer, on this machine: python benchmarks/bench.py

Numbers go into results.json as they come, and from there into results.md. Started again, it goes on with what is not
finished; when everything is, it begins anew.
"""

import argparse
import importlib
import os
import tempfile
import time
import traceback
from dataclasses import asdict
from pathlib import Path

import table
from machine import about, say
from sizes import SMOKE, Size
from store import Store

from head2head.files import write_atomically

# name -> module and function; in the order of the table
PARTS = {
    "finetuning": ("finetuning", "speed"),
    "tricks": ("tricks", "measure"),
    "memory": ("finetuning", "memory"),
    "start": ("sweeps", "start"),
    "launchers": ("sweeps", "launchers"),
    "overhead": ("sweeps", "overhead"),
    "frozen": ("frozen", "speed"),
    "frozen_memory": ("frozen", "memory"),
}


def main() -> int:
    arguments = parse()
    store = Store(arguments.out / "results.json")
    failed = 0
    if not arguments.table:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        os.environ["HEAD2HEAD_DATA"] = str(Path(os.environ["HEAD2HEAD_DATA"]).absolute())  # sweeps start elsewhere
        size = SMOKE if arguments.smoke else Size(**({"rounds": arguments.rounds} if arguments.rounds else {}))
        here = about() | {"size": asdict(size), "smoke": arguments.smoke}
        with tempfile.TemporaryDirectory(prefix="head2head-bench-") as scratch:
            failed = sum(
                not measure(name, size, here, store, Path(scratch)) for name in store.left(arguments.only, here)
            )
    write_atomically(arguments.out / "results.md", table.document(store.parts))
    say(f"the table: {arguments.out / 'results.md'}")
    return 1 if failed else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=parts, default=list(PARTS), help=f"some of: {','.join(PARTS)}")
    parser.add_argument("--rounds", type=int, help=f"of fine-tuning and starts (default: {Size.rounds})")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, to see that everything works")
    parser.add_argument("--table", action="store_true", help="write results.md from results.json, measure nothing")
    parser.add_argument("--out", type=Path, help="folder of results.json and results.md (default: benchmarks)")
    arguments = parser.parse_args()
    if not arguments.table and not os.environ.get("HEAD2HEAD_DATA"):
        parser.error("set HEAD2HEAD_DATA=DIR, with the official GLUE files in DIR/glue/CoLA, MRPC, RTE and SST-2")
    if arguments.out is None:
        arguments.out = Path(tempfile.gettempdir(), "head2head-smoke") if arguments.smoke else Path(__file__).parent
    return arguments


def parts(text: str) -> list[str]:
    """Names of parts, separated by commas."""
    names = text.split(",")
    if unknown := [name for name in names if name not in PARTS]:
        raise argparse.ArgumentTypeError(f"unknown part {unknown[0]!r}; there are: {', '.join(PARTS)}")
    return names


def measure(name: str, size: Size, here: dict, store: Store, scratch: Path) -> bool:
    """Measure a part and keep what comes. Returns whether it came to its end; the others go on either way."""
    module, function = PARTS[name]
    started = time.perf_counter()
    done = store.begin(name, here)
    try:
        for unit, values in getattr(importlib.import_module(module), function)(size, scratch, done):
            store.add(name, unit, values)
    except Exception as error:
        traceback.print_exc()
        store.end(name, f"{type(error).__name__}: {' '.join(str(error).split())}"[:300])
        return False
    store.end(name)
    say(f"{name}: done in {time.perf_counter() - started:.0f} s")
    return True


if __name__ == "__main__":
    raise SystemExit(main())
