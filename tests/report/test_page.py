"""report.html: what it says, and that it needs nothing else."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from synthetic import make_result, write_experiment

from head2head.report.analysis import Options, analyse
from head2head.report.page import DARK, LIGHT, write
from head2head.report.plots import FIGURE
from head2head.report.runs import load

VOID = {"meta", "link", "br", "img", "hr", "input"}


class Checked(HTMLParser):
    """Collects tags, attributes and text, and sees that what is opened is closed."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.words, self.texts = [], [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.words.append(data)
            self.texts.append((self.open[-1], data))


def parsed(path: Path) -> Checked:
    checked = Checked()
    checked.feed(path.read_text(encoding="utf-8"))
    assert checked.open == []
    return checked


def some_runs(gain=0.1, seeds=8, tasks=("cola", "rte")):
    return [
        make_result(task, head, seed, 0.6 + seed / 100 + more * (1 + seed / 50))
        for task in tasks
        for head, more in (("pooler", 0.0), ("mean", gain))
        for seed in range(seeds)
    ]


@pytest.fixture(scope="module")
def usual(tmp_path_factory) -> Path:
    """The page of `some_runs()` and a failed one, for tests that only read it."""
    folder = tmp_path_factory.mktemp("usual")
    failed = make_result("rte", "max", 4, None, failed="the loss is nan at step 7")
    write_experiment(folder, [*some_runs(), failed])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        experiment = load("trial")
        return (
            folder / write(experiment, analyse(experiment, Options()), experiment.folder, "head2head report trial")[0]
        )


@pytest.fixture
def page(make):
    def build(results, **options) -> Path:
        folder = make(results)
        experiment = load("trial")
        return write(experiment, analyse(experiment, Options(**options)), folder, "head2head report trial")[0]

    return build


def test_the_page_is_well_formed_and_its_parts_are_in_order(usual):
    checked = parsed(usual)
    named = "Scores|Task by task|What these runs can and cannot show|Figures|Differences|In detail|Failed runs|Runs"
    headings = [text for tag, text in checked.texts if tag == "h2"]
    assert headings == [*named.split("|"), "How this was made"]


def test_the_contents_list_leads_to_every_section_and_figure(usual):
    tags = parsed(usual).tags
    targets = {attributes["href"].removeprefix("#") for tag, attributes in tags if tag == "a"}
    assert targets == {attributes["id"] for tag, attributes in tags if tag in ("h2", "h3")}
    assert len(targets) >= 9


def test_the_page_loads_nothing(usual):
    text = usual.read_text(encoding="utf-8")
    for tag, attributes in parsed(usual).tags:
        assert tag not in ("link", "iframe", "object", "embed"), tag
        for name in ("src", "href", "xlink:href", "data", "srcset", "action"):
            assert (attributes.get(name) or "#").startswith(("#", "data:")), (tag, attributes)
    assert not re.search(r"url\(\s*['\"]?(?!#|data:)", text)
    assert "@import" not in text


def test_what_comes_from_runs_and_files_is_escaped(page, make):
    folder = make([])
    (folder / "sweep.yaml").write_text("# </pre><script>alert(1)</script>\n", encoding="utf-8")
    results = [
        *some_runs(),
        make_result("rte", "<b>bold<b>", 0, 0.7),
        make_result("rte", "max", 0, None, failed='</td><img src="x" onerror=alert(2)>'),
        make_result("rte", 'a" onload="alert(3)', 0, 0.7),
    ]
    path = page(results)
    checked, text = parsed(path), path.read_text(encoding="utf-8")
    assert "<b>" not in text
    assert "&lt;b&gt;bold&lt;b&gt;" in text
    assert not {tag for tag, _ in checked.tags} & {"b", "img"}
    assert sum(tag == "script" for tag, _ in checked.tags) == 1
    assert not [a for _, attributes in checked.tags for a in attributes if a.startswith("on")]


def test_failed_runs_are_listed_with_their_reasons(usual):
    text = re.sub(r"\s+", " ", usual.read_text(encoding="utf-8").rpartition('id="failed"')[2])
    assert re.search(r">rte</th>\s*<td>max</td>\s*<td>4</td>\s*<td>the loss is nan at step 7</td>", text)


def test_without_failed_runs_there_is_no_such_section(page):
    assert 'id="failed"' not in page(some_runs()).read_text(encoding="utf-8")


def test_the_tables_numbers_are_in_the_page(usual):
    text = usual.read_text(encoding="utf-8")
    # Seeds 0 to 7: mean 3.5, standard deviation 2.449.
    assert '63.5<span class="rest"> ± 2.4</span>' in text  # 0.6 + 0.01 seed
    assert '<strong>74.2</strong><span class="rest"> ± 2.9</span>' in text  # 0.7 + 0.012 seed


def test_the_page_opens_with_which_head_to_take_and_what_would_make_it_surer(usual):
    words = [word.strip() for word in parsed(usual).words if word.strip()]
    first = words.index("trial") + 1
    assert words[first].startswith("Take mean: the best mean rank, 1.00 over 2 tasks;")
    assert "how sure that is cannot be said, since predictions are missing" in words[first]
    assert words[first + 1].startswith("The predictions of every run would say how sure")
    assert words[first + 2].startswith("33 runs")


def test_cells_carry_short_marks_that_the_legend_explains(page):
    results = [*some_runs(), make_result("rte", "max", 0, 0.4), make_result("rte", "max", 1, 0.5, collapsed=True)]
    texts = parsed(page(results)).texts
    marks = [text for tag, text in texts if tag == "sup"]
    assert marks == ["n=2 1c 2b"]
    notes = " ".join(text for tag, text in texts if tag == "p")
    assert "c (collapsed): the predictions are constant" in notes
    assert "b (≤ baseline): not above the majority baseline." in notes
    assert "A number before a letter: how many of the cell's runs." in notes


def test_differences_stand_under_the_name_of_their_task(usual):
    checked = parsed(usual)
    groups = [tag for tag, attributes in checked.tags if attributes.get("scope") == "rowgroup"]
    assert len(groups) == 2 * 2  # cola and rte, in "Differences" (no leader without predictions) and "In detail"
    columns = [text for tag, text in checked.texts if tag == "th"]
    assert columns.count("comparison") == 2


def test_each_run_shows_its_settings_and_its_command_on_click(page):
    rates = (1e-5, 2e-5)
    path = page([make_result("rte", "mean", s, 0.7, settings={"optimizer.lr": r}) for s, r in enumerate(rates)])
    pres = [text for tag, text in parsed(path).texts if tag == "pre"]
    assert len(pres) == 2
    assert "python train.py task=rte head=mean seed=0\n" in pres[0]
    assert "optimizer.lr: 1e-05\n" in pres[0]
    assert "optimizer.lr: 2e-05\n" in pres[1]
    assert "batch_size" not in pres[0]  # the same in both


def test_every_colour_of_a_figure_is_one_that_the_page_changes_in_dark_mode(usual):
    text = usual.read_text(encoding="utf-8")
    figures = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(figures) >= 4
    assert not [color for figure in figures for color in re.findall(r"(?:fill|stroke): (#\w+)", figure)]
    assert set(re.findall(r"var\((--[\w-]+)\)", "".join(figures))) <= set(DARK) == set(LIGHT)


def test_every_figure_has_words_for_those_who_do_not_see_it(usual):
    checked = parsed(usual)
    pictures = [attributes for _, attributes in checked.tags if attributes.get("role") == "img"]
    assert len(pictures) == sum(tag == "figure" for tag, _ in checked.tags) >= 4
    assert len(pictures) == sum(tag == "figcaption" for tag, _ in checked.tags)
    assert all(len(attributes["aria-label"]) > 40 for attributes in pictures)


def test_every_id_in_the_page_is_its_own(usual):
    found = [attributes["id"] for _, attributes in parsed(usual).tags if "id" in attributes]
    assert len(found) == len(set(found))


def test_figures_are_files_as_well(usual):
    folder = usual.parent / "plots"
    names = {path.name for path in folder.iterdir()}
    assert {"seeds.svg", "seeds.png", "differences.svg", "cost.png"} <= names
    assert {name.rpartition(".")[2] for name in names} == {"svg", "png"}
    assert (folder / "seeds.png").read_bytes().startswith(b"\x89PNG")


def test_figures_of_an_earlier_report_are_removed_and_a_users_own_files_are_not(page, make):
    folder = make([]) / "plots"
    folder.mkdir()
    own = {"mine.png", "cost.pdf", "seeds_of_mine.svg"}
    for name in {"setting_optimizer_lr.svg", "differences_token.png", "critical_difference.svg", *own}:
        (folder / name).touch()
    page(some_runs(tasks=("rte",)))
    drawn = {
        f"{name}.{kind}" for name in ("seeds", "differences", "learning_curves", "cost") for kind in ("svg", "png")
    }
    assert {path.name for path in folder.iterdir()} == drawn | own


def test_every_figure_has_a_name_that_reports_make(usual):
    assert all(FIGURE.fullmatch(path.name) for path in (usual.parent / "plots").iterdir())


def test_the_same_results_give_the_same_page(page):
    first = page(some_runs(seeds=2)).read_bytes()
    assert page(some_runs(seeds=2)).read_bytes() == first


def test_settings_that_all_runs_share_are_listed_and_places_are_not(usual):
    words = [word for word in parsed(usual).words if word.strip()]
    words = words[words.index("The same in every run.") :]
    assert words[words.index("batch_size") + 1] == "32"
    assert "optimizer.lr" in words
    assert "output_dir" not in words
    assert "seed" not in words


def test_the_sweep_file_is_shown(page, make):
    (make([]) / "sweep.yaml").write_text("method: grid\n", encoding="utf-8")
    assert "method: grid\n" in parsed(page(some_runs())).words
