"""The wheel carries the configurations: installed anywhere, `head2head train` works outside the repository."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with the built wheel unpacked in it, as an installation would."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_the_wheel_holds_every_configuration(installed):
    here = {path.relative_to(ROOT / "configs") for path in (ROOT / "configs").rglob("*.yaml")}
    there = {path.relative_to(installed / "head2head/configs") for path in installed.rglob("*.yaml")}
    assert here == there


def test_the_installed_package_trains_outside_the_repository(installed, tmp_path):
    code = "import head2head, sys; assert 'site' in head2head.__file__; from head2head.cli.main import main; main()"
    settings = [
        "encoder=random-tiny",
        "trainer.max_steps=2",
        "task.rows.train=40",
        "trainer.accelerator=cpu",
        "threads=1",
    ]
    done = subprocess.run(
        [sys.executable, "-c", code, "train", "head=mean", *settings],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(installed)},
    )
    assert done.returncode == 0, done.stderr
    (result,) = tmp_path.glob("lightning_logs/agreement/mean/*/result.json")
    assert str(result.parent.relative_to(tmp_path)) in done.stdout


def test_the_installed_package_plans_a_sweep_through_its_plugin_outside_the_repository(installed, tmp_path):
    assert (installed / "hydra_plugins/head2head/sweeper.py").is_file()
    assert not (installed / "hydra_plugins/__init__.py").exists()  # other plugins live beside it
    (tmp_path / "experiments/smoke").mkdir(parents=True)
    shutil.copy(ROOT / "experiments/smoke/sweep.yaml", tmp_path / "experiments/smoke")
    code = "import head2head, sys; assert 'site' in head2head.__file__; from head2head.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "sweep", "experiment=smoke", "plan=true"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(installed)},
    )
    assert done.returncode == 0, done.stderr
    assert "smoke: 0 of 12 runs have results, 0 failed, 12 left" in done.stdout
