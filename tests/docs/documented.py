"""The commands that the pages show: those of fenced bash blocks, those beside what they answer, and those within the
prose; and the files that other blocks say they are."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# ([\w./-]+\.(?:py|yaml))\n")
IN_PROSE = re.compile(r"`((?:python (?:train|sweep)\.py|head2head [a-z]+|make [a-z]+) [^`]+)`")


def pages() -> list[Path]:
    """Every page that shows commands to users."""
    found = [ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("experiments/*/README.md")]
    return [*sorted(found), ROOT / "benchmarks/README.md"]


@dataclass(frozen=True)
class Command:
    """A command as a page shows it, without its comment and in one line.

    page: relative to the repository.
    line: the number of its line there.
    answer: what the page says that it prints; empty where it does not say.
    """

    page: str
    line: int
    text: str
    answer: str = ""

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {self.text}"

    @property
    def words(self) -> list[str]:
        """What the shell makes of it, settings of the environment left out."""
        words = shlex.split(self.text)
        while words and re.match(r"[A-Z_0-9]+=", words[0]):
            words.pop(0)
        return words

    @property
    def needs_a_shell(self) -> bool:
        """Whether it has a pipe, or reads or writes a file by < and >."""
        return any(word in ("|", "<", ">", ">>") for word in shlex.split(self.text))


def commands() -> list[Command]:
    """Those of all pages in blocks of their own, in their order."""
    return [command for page in pages() for command in commands_in(page)]


def commands_in(page: Path) -> Iterator[Command]:
    """Those of a page, in their order."""
    text, name = page.read_text(encoding="utf-8"), str(page.relative_to(ROOT))
    for block in BLOCK.finditer(text):
        above = text.count("\n", 0, block.start(2)) + 1
        if block[1] == "bash":
            for line, whole in whole_lines(block[2]):
                if shlex.split(whole, comments=True):
                    yield Command(name, above + line, re.sub(r"\s+# .*$", "", whole).strip())
        elif block[1] == "" and block[2].startswith("$ "):
            for shown in re.finditer(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block[2], re.MULTILINE):
                line = above + block[2].count("\n", 0, shown.start())
                yield Command(name, line, shown[1], shown[2].strip())


def whole_lines(block: str) -> Iterator[tuple[int, str]]:
    """The lines of a block with their numbers; one that ends in a backslash goes on in the next."""
    lines = list(enumerate(block.splitlines()))
    while lines:
        number, whole = lines.pop(0)
        while whole.endswith("\\"):
            whole = f"{whole[:-1].rstrip()} {lines.pop(0)[1].strip()}"
        yield number, whole


def commands_in_prose() -> list[Command]:
    """Those that stand within sentences and tables."""
    return [
        Command(str(page.relative_to(ROOT)), text.count("\n", 0, match.start()) + 1, match[1].replace("\n", " "))
        for page in pages()
        for text in [page.read_text(encoding="utf-8")]
        for match in IN_PROSE.finditer(BLOCK.sub(lambda block: "\n" * block[0].count("\n"), text))
    ]


def files_in(page: Path) -> dict[str, str]:
    """Files that a page has the reader write: blocks that begin with a comment of nothing but a path."""
    text = page.read_text(encoding="utf-8")
    blocks = (block[2] for block in BLOCK.finditer(text) if block[1] in ("python", "yaml"))
    return {match[1]: block[match.end() :] for block in blocks if (match := FILE.match(block))}
