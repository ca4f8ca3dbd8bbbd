"""Tasks built from their yaml files, and files written for a test."""

import functools
from collections.abc import Callable
from pathlib import Path

import datasets
import pytest

from composed import compose
from head2head.data.task import Task
from head2head.errors import UserError
from head2head.run.key import build_task


@functools.cache
def composed(name: str) -> dict:
    return compose([f"task={name}"])


@pytest.fixture(scope="session")
def make_task() -> Callable[..., Task]:
    """Build a task from configs/task/NAME.yaml with other settings; files are read from nowhere unless given."""

    def build(name: str, /, **settings) -> Task:
        config = composed(name)
        task = config["task"] | ({"data_dir": None} if "data_dir" in config["task"] else {})
        unknown = settings.keys() - task.keys()
        assert not unknown, f"configs/task/{name}.yaml has no {unknown}"
        task |= {key: str(value) if isinstance(value, Path) else value for key, value in settings.items()}
        return build_task(config | {"task": task})

    return build


@pytest.fixture
def write(tmp_path) -> Callable[[str, str | bytes], Path]:
    """Write a file below tmp_path, byte by byte as given."""

    def to_file(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return to_file


@pytest.fixture
def error_of() -> Callable[..., str]:
    """The text of the UserError that a call raises; always one line."""

    def call(function, *arguments, **options) -> str:
        with pytest.raises(UserError) as caught:
            function(*arguments, **options)
        text = str(caught.value)
        assert "\n" not in text
        return text

    return call


@pytest.fixture
def hub(monkeypatch):
    """A hub that gives one table, or raises one error, and remembers what it was asked for."""
    asked = []

    def serve(answer):
        def load_dataset(path, name=None, *, split=None, revision=None):
            asked.append((path, name, split, revision))
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr(datasets, "load_dataset", load_dataset)
        return asked

    return serve
