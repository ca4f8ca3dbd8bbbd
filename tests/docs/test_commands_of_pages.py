"""No page shows a command that does not mean anything here. `make docs-check` runs them, too."""

import documented
import pytest
from documented import Command, commands, commands_in_prose
from understood import NotUnderstood, understand
from world import furnish

from head2head.errors import UserError

SHOWN = [command for command in [*commands(), *commands_in_prose()] if not command.answer]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    place = tmp_path_factory.mktemp("world")
    furnish(place)
    return place


@pytest.fixture(autouse=True)
def _there(world, monkeypatch):
    monkeypatch.chdir(world)
    monkeypatch.setenv("HEAD2HEAD_DATA", str(world / "DIR"))


@pytest.mark.parametrize("command", SHOWN, ids=str)
def test_a_pages_command_has_verbs_settings_and_choices_that_exist(command):
    understand(command)


@pytest.mark.parametrize(
    "text",
    [
        "head2head trian head=mean",
        "head2head train head=meen",
        "python train.py head=mean optimizer.learning_rate=1",
        "python sweep.py experiment=glue_haeds",
        "head2head compare task=rte heads=mean",
        "head2head predict RUN --inptu new.csv",
        "python benchmarks/bench.py --onyl tricks",
        "make reproduse",
        "make reproduce EXPERIMNT=glue_heads",
        "pip install 'head2head[exprot]'",
        "wandb sweep experiments/glue_haeds/sweep.yaml",
        "cat new.txt | head2head predict RUN --inptu -",
        "curl https://example.org",
    ],
)
def test_what_is_wrong_in_a_command_is_found(text):
    with pytest.raises((NotUnderstood, UserError)):
        understand(Command("a page", 1, text))


def test_a_command_is_read_without_its_comment_and_over_several_lines(tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    page.write_text("Text.\n\n```bash\na b   # why\n\n'c #' \\\n    d\n```\n\n```\n$ e\nerror: f\n$ g\nh\ni\n```\n")
    monkeypatch.setattr(documented, "ROOT", tmp_path)
    assert list(documented.commands_in(page)) == [
        Command("page.md", 4, "a b"),
        Command("page.md", 6, "'c #' d"),
        Command("page.md", 11, "e", "error: f"),
        Command("page.md", 13, "g", "h\ni"),
    ]
