"""Which part of the package may import which, and which parts do without torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src/head2head"
BASE = {"errors", "files", "seeds"}
# Of each room, and of each file beside the rooms, all that it may import besides itself.
ALLOWED = {
    "errors": set(),
    "files": {"errors"},
    "seeds": set(),
    "data": BASE,
    "metrics": BASE | {"data"},
    "speed": BASE | {"data", "model"},
    "model": BASE | {"data", "metrics"},  # and never speed, which works on models from outside
    "run": BASE | {"data", "metrics", "model", "speed"},
    "frozen": BASE | {"data", "metrics", "model", "run", "speed"},
    "predict": BASE | {"data", "model", "run", "speed"},
    "experiments": {"errors", "files", "run.result"},
    "statistics": {"errors"},
    "sweep": BASE | {"data", "experiments", "model", "run", "frozen", "statistics"},
    "report": {"errors", "statistics", "files", "experiments", "data.entities"}
    | {f"run.{name}" for name in ("result", "key", "canonical", "label", "configuration")},
    "compare": BASE | {"experiments", "run", "frozen", "sweep", "report", "statistics"},
    "library": BASE | {"data", "model", "run", "frozen", "predict", "report"},  # what `import head2head` offers
    "export": BASE | {"data", "model", "run"},
    "cli": BASE
    | {"data", "metrics", "model", "experiments", "run", "frozen", "sweep", "report", "compare", "speed", "statistics"}
    | {"predict", "library", "export"},
}
ENCODER_AND_HEADS = ("model/encoder.py", "model/output.py", "model/heads")
NOT_FOR_THEM = ("hydra", "omegaconf", "pytorch_lightning", "head2head.data", "head2head.files", "head2head.speed")


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported(path: Path) -> set[str]:
    """Every module that a file imports, wherever in it, by its full name; of `from a import b` a.b."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def allowed(name: str, room: str) -> bool:
    """Whether a room may import a module of the package: `run` allows all of the room, `run.result` that module."""
    within = name.removeprefix("head2head.")
    return any(f"{within}.".startswith(f"{other}.") for other in ALLOWED[room] | {room})


def test_every_room_and_file_is_in_the_list():
    assert {room_of(path) for path in modules()} - {"__init__"} == set(ALLOWED)


@pytest.mark.parametrize("room", ALLOWED)
def test_imports_run_one_way(room):
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {name}"
        for path in modules()
        if room_of(path) == room
        for name in sorted(imported(path))
        if name.startswith("head2head.") and not allowed(name, room)
    ]
    assert wrong == []


def test_the_list_itself_has_no_circle():
    order: list[str] = []
    left = {room: {name.partition(".")[0] for name in others} for room, others in ALLOWED.items()}
    while left:
        ready = [room for room, others in left.items() if others <= set(order)]
        assert ready, f"a circle among {sorted(left)}"
        order += ready
        left = {room: others for room, others in left.items() if room not in ready}


@pytest.mark.parametrize("place", ENCODER_AND_HEADS)
def test_encoder_and_heads_know_nothing_of_settings_training_or_files(place):
    path = PACKAGE / place
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
    wrong = [
        f"{file.relative_to(PACKAGE)} imports {name}"
        for file in files
        for name in sorted(imported(file))
        if any(f"{name}.".startswith(f"{other}.") for other in NOT_FOR_THEM)
    ]
    assert files
    assert wrong == []


def test_at_most_five_files_stand_beside_the_rooms():
    assert len([path for path in PACKAGE.glob("*.py") if path.name != "__init__.py"]) <= 5


def test_what_answers_before_training_loads_no_torch():
    # These run encoders; cli/main.py imports them when they are called.
    heavy = {f"cli/{name}.py" for name in ("evaluate", "export", "outputs", "predict", "submit")}
    names = [
        ".".join(("head2head", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
        for path in modules()
        if room_of(path) in ("cli", "sweep", "report", "compare", "statistics")
        and str(path.relative_to(PACKAGE)) not in heavy
    ]
    names += [
        "head2head",
        "head2head.run.configuration",
        "head2head.run.key",
        "head2head.experiments",
        "head2head.frozen.eligible",
    ]
    code = "import importlib, sys; [importlib.import_module(n) for n in sys.argv[1:]]; sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, *names], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr or "torch was imported"
