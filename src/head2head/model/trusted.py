"""What a configuration may build. A `_target_` is a command to import and call whatever it names, and configurations
come with run folders, sweep files and task files that somebody else has written. So there is a list of what may be
built, not one of what may not: the classes that this package's own yaml files name; a user's own, from modules in the
folder that they work in or from packages that they have typed. Imports no torch."""

from __future__ import annotations

import functools
import importlib.util
import pydoc
import re
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import hydra.utils

from head2head.errors import UserError
from head2head.files import CONFIGS

INSTALLED = tuple({Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib", "stdlib", "platstdlib")})
HYDRAS = frozenset({"_target_", "_partial_", "_convert_", "_recursive_", "_args_"})
NEVER_OWN = frozenset({"head2head", "hydra_plugins"})  # of which the list alone counts, also in a checkout


def instantiate(settings: Any, trust: Sequence[str] | str | None = None, **options: Any) -> Any:
    """Hydra's `instantiate`, of what may be built.

    Args:
        trust: packages of the user's whose classes may be.

    Raises:
        UserError: something else is named.
        InstantiationException: Hydra's, where building it fails.
    """
    check(settings, trust)
    for target in targets(settings):
        check_home(target, trust)
    return hydra.utils.instantiate(settings, **options)


def check(settings: Any, trust: Sequence[str] | str | None = None, own: bool = True, where: str = "") -> None:
    """Check that a part of a configuration names nothing that may not be built. Imports none of it.

    Args:
        own: whether modules in the working directory are the user's, as they are where the user trains. False for a run
            folder: it may have been unpacked there together with a module.
        where: the file that names it, for the error.

    Raises:
        UserError: it does.
    """
    packages = named(trust) - NEVER_OWN
    for target in targets(settings):
        top = target.partition(".")[0]
        if target in built_in() or top in packages or (own and is_own(target)):
            continue
        place = f"{where}: " if where else ""
        if top in NEVER_OWN:
            raise UserError(f"{place}_target_: {target[:100]} is no head, layer, pool, classifier, task or logger")
        raise UserError(
            f"{place}_target_: {target[:100]} is not head2head's own, and running it may do anything; if you know the "
            f"package and trust it: {'trust=' if own else '--trust '}{top[:100]}"
        )


def named(trust: Sequence[str] | str | None) -> frozenset[str]:
    """The packages that were typed: one, several with commas, or a list.

    Raises:
        UserError: one that is no package's name.
    """
    given = trust.split(",") if isinstance(trust, str) else list(trust or ())
    for name in given:
        if not isinstance(name, str) or not name.isidentifier():
            raise UserError(f"trust={name}: the name of a package, or of a module, without its parts")
    return frozenset(given)


def targets(settings: Any) -> Iterator[str]:
    """Every `_target_` in a part of a configuration.

    Raises:
        UserError: a text that Hydra would replace while it builds, or a key that only Hydra's own machinery uses.
    """
    if isinstance(settings, dict):
        for name, value in settings.items():
            if str(name).startswith("_") and name not in HYDRAS:
                raise UserError(f"{str(name)[:100]}: names of settings do not begin with _")
            if name == "_target_":
                yield str(value)
            yield from targets(value)
    elif isinstance(settings, (list, tuple)):
        for value in settings:
            yield from targets(value)
    elif isinstance(settings, str) and "${" in settings:
        raise UserError(f"{settings[:100]}: a value that refers to others, where all are resolved")


@functools.cache
def built_in() -> frozenset[str]:
    """The classes and functions that this package's own yaml files name."""
    texts = (path.read_text(encoding="utf-8") for path in sorted(CONFIGS.rglob("*.yaml")))
    found = (name for text in texts for name in re.findall(r"^\s*_target_:\s*([\w.]+)\s*$", text, re.MULTILINE))
    return frozenset(name for name in found if name.startswith("head2head."))


def is_own(target: str) -> bool:
    """Whether it is a name in a module that lies in the working directory, installed packages there aside. Python would
    import that very module: a file there hides no library."""
    names = target.split(".")
    modules = names[:-1]
    if not modules or modules[0] in NEVER_OWN or not all(name.isidentifier() for name in names):
        return False
    try:
        top = importlib.util.find_spec(modules[0])  # of a name without dots: nothing is imported
    except (ImportError, ValueError, AttributeError):
        return False
    if top is None:
        return False
    if len(modules) == 1:
        return top.has_location and lies_here(top.origin)  # the origin of others is a word such as "built-in"
    places = [Path(folder, *modules[1:]) for folder in top.submodule_search_locations or ()]
    files = [file for place in places for file in (place / "__init__.py", place.with_suffix(".py"))]
    return any(file.is_file() and lies_here(str(file)) for file in files)


def lies_here(file: str | None) -> bool:
    """Whether a file lies in the working directory, and in no installed package."""
    if not file:
        return False
    path = Path(file).resolve()
    installed = "site-packages" in path.parts or any(path.is_relative_to(folder) for folder in INSTALLED)
    return path.is_relative_to(Path.cwd().resolve()) and not installed


def check_home(target: str, trust: Sequence[str] | str | None) -> None:
    """Check that what a user's own name stands for was made in their own code, and is not something, such as
    `os.system`, that their module has imported.

    Raises:
        UserError: it is.
    """
    if target in built_in():
        return
    try:
        found = pydoc.locate(target)
    except pydoc.ErrorDuringImport:  # building it says so, with the lines of the user's module
        return
    if found is None:
        return
    home = str(getattr(found, "__module__", ""))
    packages = named(trust) | {target.partition(".")[0]}
    if home.partition(".")[0] in packages or is_own(f"{home}.{target.rpartition('.')[2]}"):
        return
    raise UserError(f"_target_: {target[:100]} is {home}'s, not your own; name a class that your module defines")
