"""What a working directory may add: configurations, and modules whose errors are told with their own lines."""

import os
import shutil
import subprocess
import sys

import pytest

from forked import ROOT
from head2head.cli.hydra_command_line import train
from head2head.errors import UserError
from head2head.run.configuration import check_names, compose, options

TINY = ["encoder=random-tiny", "trainer.max_steps=2", "trainer.accelerator=cpu", "trainer.enable_progress_bar=false"]


def test_an_installed_package_works_inside_a_checkout(tmp_path):
    site = tmp_path / "site"
    shutil.copytree(ROOT / "src", site, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "configs", site / "head2head/configs")
    code = "import sys, head2head.cli.hydra_command_line as c; assert 'site' in c.__file__; c.train(sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", code, "plan=true", "head=max", f"output_dir={tmp_path}/runs"],
        capture_output=True, text=True, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(site)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"{tmp_path}/runs/agreement/max/0-" in done.stdout


def test_the_configurations_of_another_checkout_are_not_the_users_own(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    with (tmp_path / "configs/head/mean.yaml").open("a") as file:
        file.write("# of another version\n")
    before = compose(["head=mean"])
    monkeypatch.chdir(tmp_path)
    assert compose(["head=mean"]) == before
    assert options("head")["mean"].is_relative_to(ROOT)


def test_an_unchanged_copy_of_a_built_in_file_is_the_built_in_one_beside_new_ones(tmp_path, monkeypatch):
    (tmp_path / "configs/head").mkdir(parents=True)
    shutil.copy(ROOT / "configs/head/mean.yaml", tmp_path / "configs/head")
    shutil.copy(ROOT / "configs/head/max.yaml", tmp_path / "configs/head/mine.yaml")
    monkeypatch.chdir(tmp_path)
    assert compose(["head=mine"])["head"] == compose(["head=max"])["head"]
    with (tmp_path / "configs/head/mean.yaml").open("a") as file:
        file.write("# changed\n")
    with pytest.raises(UserError, match=r"mean\.yaml: there is a built-in head of that name"):
        compose(["head=mean"])


POOLS = {
    "imports": ("import no_such_library\n", 1, "ModuleNotFoundError: No module named 'no_such_library'"),
    "syntax": ("class First(:\n    pass\n", 1, "SyntaxError: invalid syntax"),
    "builds": (
        "from head2head.model.heads.pooling import Mean\nclass First(Mean):\n"
        "    def __init__(self, size):\n        super().__init__(size)\n        self.share = size / 0\n",
        5,
        "ZeroDivisionError: division by zero",
    ),
    "reads": (
        "from head2head.model.heads.pooling import Mean\nclass First(Mean):\n"
        "    def forward(self, *arguments):\n        return {}['nothing']\n",
        4,
        "KeyError: 'nothing'",
    ),
}


@pytest.mark.parametrize("kind", POOLS)
def test_an_error_in_a_users_own_module_is_told_with_their_lines_alone(kind, tmp_path, monkeypatch, capsys):
    source, line, error = POOLS[kind]
    module = f"own_{kind}"
    path = tmp_path / f"{module}.py"
    path.write_text(source)
    (tmp_path / "configs/head/pool").mkdir(parents=True)
    (tmp_path / "configs/head/pool/first.yaml").write_text(f"# mine\n_target_: {module}.First\n_partial_: true\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    with pytest.raises(SystemExit) as stop:
        train([*TINY, "head=mean", "head/pool=first", f"output_dir={tmp_path}/runs"])
    assert stop.value.code == 1
    *above, last = capsys.readouterr().err.strip().splitlines()
    assert last == f"error: {path}:{line}: {error}"
    assert f'File "{path}", line {line}' in "\n".join(above)
    assert not any(word in "\n".join(above) for word in ("hydra", "HYDRA_FULL_ERROR", "site-packages", str(ROOT)))


@pytest.mark.parametrize("name", ["cls_shortcut", "fast_dropout", "compiled_layers", "cuda_graphs", "frozen_features"])
@pytest.mark.parametrize("several", [False, True])
def test_a_setting_of_earlier_versions_says_what_to_write(name, several):
    with pytest.raises(UserError, match=f"^{name} is no setting any more; (write speed=exact|leave it out)"):
        check_names([f"{name}=false"], several)
