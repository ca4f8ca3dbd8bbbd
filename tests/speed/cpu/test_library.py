"""How layer.c is compiled and kept, and what is said where it cannot be."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from types import SimpleNamespace

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
    library.attempt.cache_clear()
    yield tmp_path / "cache" / "compiled"
    library.attempt.cache_clear()


@pytest.fixture
def tiny(anew, tmp_path, monkeypatch):
    """The same, of a source that is compiled in no time."""
    source = tmp_path / "tiny/layer.c"
    source.parent.mkdir()
    source.with_name("products.h").write_text("static long zero(void) { return 0; }\n")
    source.write_text('#include "products.h"\nlong kept(void) { return zero(); }\n')
    monkeypatch.setattr(library, "SOURCE", source)
    monkeypatch.setenv("CC", library.compilers()[0][0])  # no other one is tried
    return anew


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


def test_what_cannot_be_loaded_is_taken_away_and_the_next_compiler_is_tried(tiny, monkeypatch, tmp_path):
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
    assert len(list(tiny.glob("*.so"))) == 1
    monkeypatch.setenv("CC", str(bad))
    library.attempt.cache_clear()
    assert "cannot be loaded" in library.why_not()
    assert len(list(tiny.glob("*.so"))) == 1


def test_a_cache_that_cannot_be_written_is_told_in_one_line(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("HEAD2HEAD_CACHE", str(tmp_path / "file"))
    library.attempt.cache_clear()
    said = library.why_not()
    library.attempt.cache_clear()
    assert "file" in said
    assert "\n" not in said


def test_code_that_does_not_compile_is_told_in_one_line(anew, monkeypatch, tmp_path):
    broken = tmp_path / "layer.c"
    broken.write_text("no C at all\n")
    monkeypatch.setattr(library, "SOURCE", broken)
    assert "failed: " in library.why_not()
    assert not list(anew.glob("*.so"))


@pytest.mark.usefixtures("tiny")
def test_what_was_compiled_once_is_taken_again(monkeypatch):
    path = library.built(library.compilers()[0], torch.float32)
    before = path.stat().st_mtime_ns
    output = library.output
    monkeypatch.setattr(
        library, "output", lambda *c, **o: output(*c, **o) if "--version" in c else pytest.fail("again")
    )
    assert library.built(library.compilers()[0], torch.float32) == path
    assert path.stat().st_mtime_ns == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("changed", ["layer.c", "products.h"])
def test_what_is_compiled_follows_every_file_of_the_source(changed):
    before = library.built(library.compilers()[0], torch.float32)
    with library.SOURCE.with_name(changed).open("a") as file:
        file.write("/* */\n")
    assert library.built(library.compilers()[0], torch.float32) != before


def test_the_source_compiles_without_a_warning(tmp_path):
    command = [*library.compilers()[0], *library.FLAGS, "-Wall", "-Wextra", "-Werror", "-DREAL=float", "-c"]
    done = subprocess.run([*command, str(library.SOURCE), "-o", str(tmp_path / "o")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# What is found in the cache runs as the user.

EVIL = """#include <stdio.h>
__attribute__((constructor)) static void attack(void) { fclose(fopen("%s", "w")); }
"""


@pytest.fixture
def planted(tiny, tmp_path):  # noqa: ARG001
    """A library with a sound checksum where head2head's own would be, which makes a file when it is loaded."""
    command, marker = library.compilers()[0], tmp_path / "marker"
    path = library.built(command, torch.float32)
    source = tmp_path / "evil.c"
    source.write_text(EVIL % marker)
    subprocess.run([*command, "-shared", "-fPIC", str(source), "-o", str(path)], check=True)
    content = path.read_bytes()
    path.write_bytes(content + hashlib.sha256(content).digest())
    path.chmod(0o700)
    library.attempt.cache_clear()
    return path, marker


def of_another_user(path):
    if os.geteuid() != 0:
        pytest.skip("only root gives files away")
    os.chown(path, 12345, -1)


def writable_by_others(path):
    path.chmod(0o702)


def writable_by_the_group(path):
    path.chmod(0o770)


def a_link(path):
    moved = path.with_name("moved")
    path.rename(moved)
    path.symlink_to(moved)


OPEN = [of_another_user, writable_by_others, writable_by_the_group, a_link]


@pytest.mark.parametrize("guarded", [True, False])
@pytest.mark.parametrize("part", ["file", "folder"])
@pytest.mark.parametrize("opened", OPEN)
def test_a_library_that_somebody_else_may_have_put_there_is_not_loaded(opened, part, guarded, planted, monkeypatch):
    path, marker = planted
    opened(path if part == "file" else path.parent)
    if not guarded:
        monkeypatch.setattr(library, "check_private", lambda path: path.lstat())
        with pytest.raises(AttributeError):  # it has none of the functions
            library.why_not()
        assert marker.exists()
        return
    said = use_compiled_layers(encoder())
    assert said.startswith(f"compiled layers: {path if part == 'file' else path.parent} ")
    assert said.endswith("more slowly and with other dropout masks")
    assert not marker.exists()


def test_folder_and_file_are_made_private_whatever_the_umask(tiny):
    before = os.umask(0)
    try:
        path = library.built(library.compilers()[0], torch.float32)
    finally:
        os.umask(before)
    assert [place.stat().st_mode & 0o777 for place in (tiny, path)] == [0o700, 0o700]


@pytest.mark.usefixtures("tiny")
def test_a_library_that_was_cut_short_is_made_anew():
    path = library.built(library.compilers()[0], torch.float32)
    whole = path.read_bytes()
    middle = len(whole) // 2
    for damaged in (whole[:middle], whole[:-1], b"", whole[:middle] + b"?" + whole[middle + 1 :]):
        path.write_bytes(damaged)
        assert library.built(library.compilers()[0], torch.float32).read_bytes() == whole
    path.write_bytes(whole[:middle])  # what it would do without the checksum
    loads = subprocess.run([sys.executable, "-c", "import ctypes, sys; ctypes.CDLL(sys.argv[1])", path])
    assert loads.returncode != 0


COUNTS = """#!/bin/sh
case "$*" in *--version*) echo broken 1.0; exit 0;; esac
echo tried >> {log}
echo "no room for {what}" >&2
exit 1
"""


@pytest.mark.parametrize("remembers", [True, False])
def test_a_compiler_that_fails_is_tried_once_in_a_day(remembers, anew, monkeypatch, tmp_path):
    broken, log = tmp_path / "mycc", tmp_path / "log"
    broken.write_text(COUNTS.format(log=log, what="code"))
    broken.chmod(0o755)
    monkeypatch.setenv("CC", str(broken))
    if not remembers:
        monkeypatch.setattr(library, "recall", lambda _: None)
    told = []
    for _ in range(3):
        library.attempt.cache_clear()  # as in another process
        told += [library.why_not(), library.why_not()]
    assert log.read_text().count("tried") == (1 if remembers else 3)
    assert told[0].endswith("failed: no room for code")
    if remembers:
        (note,) = anew.glob("*.failed")
        assert told[2] == f"{told[0]} (remembered for a day: rm {note})"
        os.utime(note, (0, 0))
        library.attempt.cache_clear()
        assert library.why_not() == told[0]
        assert log.read_text().count("tried") == 2


def test_a_compiler_that_fails_for_want_of_room_is_tried_again_when_there_is_some(anew, monkeypatch):
    monkeypatch.setattr(library, "output", lambda *command, **_: compiled_to_a_full_disk(command))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=100_000))
    assert "compiled has no room left: cc failed: final close failed: No space left" in library.why_not()
    assert not list(anew.glob("*.failed"))


def compiled_to_a_full_disk(command):
    if "--version" in command:
        return b"cc 1"
    raise library.NotCompiled("cc failed: final close failed: No space left on device")


@pytest.mark.usefixtures("tiny")
def test_processors_compilers_and_flags_have_libraries_of_their_own(monkeypatch):
    def path():
        return library.built(library.compilers()[0], torch.float32)

    paths = [path()]
    monkeypatch.setattr(library, "processor", lambda: b"another")
    paths.append(path())
    monkeypatch.setattr(library, "FLAGS", (*library.FLAGS, "-g"))
    paths.append(path())
    assert len(set(paths)) == 3


def test_a_library_is_taken_from_a_home_that_cannot_be_written(tiny, monkeypatch):
    path = library.built(library.compilers()[0], torch.float32)
    tiny.chmod(0o500)
    try:
        monkeypatch.setattr(tempfile, "mkdtemp", lambda *_, **__: pytest.fail("compiled again"))
        assert library.why_not() is None
    finally:
        tiny.chmod(0o700)
    assert path.exists()


SMALL_STACKS = """
import torch
from transformers import BertConfig, BertModel
from head2head.model.encoder import Encoder
from head2head.model.output import Needs
from head2head.speed.cpu.stack import use_compiled_layers

torch.set_num_threads(4)
sizes = dict(vocab_size=60, hidden_size=256, num_hidden_layers=1, num_attention_heads=4, intermediate_size=1024)
part = Encoder(BertModel(BertConfig(**sizes)), Needs(frozenset({1}))).train()
assert use_compiled_layers(part) is None
ids = torch.randint(5, 60, (16, 64))
part(ids, torch.ones_like(ids)).last_hidden_state.sum().backward()
print("done")
"""


def test_threads_with_small_stacks_compute_layers():
    environment = os.environ | {"OMP_STACKSIZE": "64k"}
    done = subprocess.run([sys.executable, "-c", SMALL_STACKS], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


KILLED = """#!/bin/sh
case "$*" in *--version*) echo 1.0; exit 0;; esac
{how}
"""


@pytest.mark.parametrize(
    "how", ["kill -9 $$", "echo 'mycc: fatal error: Killed signal terminated program cc1' >&2; exit 1"]
)
def test_a_compiler_that_was_killed_is_tried_again(how, anew, monkeypatch, tmp_path):
    killed = tmp_path / "mycc"
    killed.write_text(KILLED.format(how=how))
    killed.chmod(0o755)
    monkeypatch.setenv("CC", str(killed))
    assert "failed: " in library.why_not()
    assert not list(anew.glob("*"))
