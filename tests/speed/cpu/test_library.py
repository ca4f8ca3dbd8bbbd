"""How layer.c is compiled and kept, and what is said where it cannot be."""

import os
import shutil
import subprocess

import pytest
import torch
from transformers import BertConfig, BertModel

from head2head.model.encoder import Encoder
from head2head.model.output import Needs
from head2head.speed.cpu import library
from head2head.speed.cpu.stack import use_compiled_layers


@pytest.fixture
def anew(monkeypatch, tmp_path):
    """Nothing compiled yet, in a cache folder of the test's own."""
    monkeypatch.setenv("HEAD2HEAD_CACHE", str(tmp_path / "cache"))
    library.library.cache_clear()
    yield tmp_path / "cache" / "compiled"
    library.library.cache_clear()


def encoder() -> Encoder:
    return Encoder(BertModel(BertConfig(hidden_size=24, num_hidden_layers=1, num_attention_heads=2,
                                        intermediate_size=40, vocab_size=60)), Needs(frozenset({1})))  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("compiler", "reason"),
    [
        ("/nowhere/cc", "no C compiler (/nowhere/cc) was found"),
        ("false", "false failed: status 1"),
        ("'", "No closing quotation"),
    ],
)
def test_without_a_compiler_torch_computes_the_layers_and_it_is_said_why(anew, monkeypatch, compiler, reason, dtype):
    monkeypatch.setenv("CC", compiler)
    part = encoder()
    said = use_compiled_layers(part, dtype)
    assert said.startswith("compiled layers: ")
    assert reason in said
    assert said.endswith("more slowly and with other dropout masks")
    assert "\n" not in said
    assert part.runner is None
    ids = torch.arange(5, 19).view(2, 7)
    assert part.train()(ids, torch.ones_like(ids)).last_hidden_state.isfinite().all()
    assert not list(anew.glob("*"))


def test_what_cannot_be_loaded_is_taken_away_and_the_next_compiler_is_tried(anew, monkeypatch, tmp_path):
    """A compiler that makes something else stands for one whose OpenMP torch does not bring."""
    bad = tmp_path / "gcc"
    bad.write_text("""#!/bin/sh
while [ "$1" ]; do [ "$1" = -o ] && echo no library > "$2"; shift; done
""")
    bad.chmod(0o755)
    real = shutil.which("cc")
    (tmp_path / "cc").symlink_to(real)
    path = os.environ["PATH"]
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{path}")
    monkeypatch.delenv("CC", raising=False)
    assert library.why_not() is None
    assert len(list(anew.glob("*"))) == 1
    monkeypatch.setenv("CC", str(bad))
    library.library.cache_clear()
    assert "cannot be loaded" in library.why_not()
    assert len(list(anew.glob("*"))) == 1


def test_a_cache_that_cannot_be_written_is_told_in_one_line(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("HEAD2HEAD_CACHE", str(tmp_path / "file"))
    library.library.cache_clear()
    said = library.why_not()
    library.library.cache_clear()
    assert "file" in said
    assert "\n" not in said


def test_code_that_does_not_compile_is_told_in_one_line(anew, monkeypatch, tmp_path):
    broken = tmp_path / "layer.c"
    broken.write_text("no C at all\n")
    monkeypatch.setattr(library, "SOURCE", broken)
    assert "failed: " in library.why_not()
    assert not list(anew.glob("*"))


@pytest.mark.usefixtures("anew")
def test_what_was_compiled_once_is_taken_again(monkeypatch):
    path = library.built(library.compilers()[0], torch.float32)
    before = path.stat().st_mtime_ns
    output = library.output
    monkeypatch.setattr(library, "output", lambda *c: output(*c) if "--version" in c else pytest.fail("compiled again"))
    assert library.built(library.compilers()[0], torch.float32) == path
    assert path.stat().st_mtime_ns == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.usefixtures("anew")
@pytest.mark.parametrize("changed", ["layer.c", "products.h"])
def test_what_is_compiled_follows_every_file_of_the_source(monkeypatch, tmp_path, changed):
    for file in library.SOURCE.parent.glob("*.[ch]"):
        shutil.copy(file, tmp_path)
    monkeypatch.setattr(library, "SOURCE", tmp_path / "layer.c")
    before = library.built(library.compilers()[0], torch.float32)
    with (tmp_path / changed).open("a") as file:
        file.write("/* */\n")
    assert library.built(library.compilers()[0], torch.float32) != before


def test_the_source_compiles_without_a_warning(tmp_path):
    command = [*library.compilers()[0], *library.FLAGS, "-Wall", "-Wextra", "-Werror", "-DREAL=float", "-c"]
    done = subprocess.run([*command, str(library.SOURCE), "-o", str(tmp_path / "o")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
