"""The source of classes that are the user's own: what a run's key has of them. Imports none of it."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import sysconfig
from collections.abc import Iterator
from pathlib import Path

INSTALLED = tuple({Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib", "stdlib")})


def source_of(target: str) -> str | None:
    """Hash of the code that a class of the user's is made of: its module, and every module that this one imports, also
    by way of others, from the same folder tree. Of an installed package it is the class's own module alone.

    Args:
        target: dotted path of a class, such as `my_pools.First3`.

    Returns:
        None where no source is found; building the class then fails, or it is no Python.
    """
    for name in _parents(target):
        if (path := _file(name)) is not None:
            return _hash(name, path)
    return None


def _parents(target: str) -> Iterator[str]:
    """my.pools.First3: my.pools, my."""
    parts = target.split(".")
    for end in range(len(parts) - 1, 0, -1):
        yield ".".join(parts[:end])


def _file(module: str) -> Path | None:
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError, AttributeError):
        return None
    if found is None or found.origin is None or not found.origin.endswith(".py"):
        return None
    return Path(found.origin).resolve()


def _hash(module: str, path: Path) -> str:
    digest = hashlib.sha256()
    for name, file in sorted(_reached(module, path).items()):
        digest.update(f"{name}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()


def _reached(module: str, path: Path) -> dict[str, Path]:
    """The module and all that it imports from its folder tree, by name."""
    found, left = {module: path}, [(module, path)]
    if any(path.is_relative_to(folder) for folder in INSTALLED):
        return found
    root = path.parents[module.count(".") + (path.name == "__init__.py")]
    while left:
        for name in _imports(*left.pop()):
            file = _file(name) if name not in found else None
            if file is not None and file.is_relative_to(root) and not _installed(file):
                found[name] = file
                left.append((name, file))
    return found


def _installed(file: Path) -> bool:
    """Whether a file is not the user's, though it may lie below their folder, as a virtual environment does."""
    return any(file.is_relative_to(folder) for folder in INSTALLED) or "site-packages" in file.parts


@functools.cache
def _parsed(path: Path, modified: int) -> ast.Module | None:  # noqa: ARG001 (a file that has changed is read again)
    try:
        return ast.parse(path.read_bytes())
    except SyntaxError:
        return None


def _imports(module: str, path: Path) -> set[str]:
    """Names of the modules that a module may import, wherever in it: `from a import b` names a and a.b."""
    tree = _parsed(path, path.stat().st_mtime_ns)
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found = set(_parents(f"{module}."))
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            name = ".".join([*base, *([node.module] if node.module else [])])
            found.update([name, *(f"{name}.{alias.name}" for alias in node.names)])
    return {name for name in found if name}
