"""The same sweep by every launcher: the engines differ, the results do not."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest
from project import SMALL, Project, ended

pytest.importorskip("submitit")


def test_joblibs_workers_give_what_one_run_after_another_gives(project, undisturbed):
    place = project(**SMALL)
    done = place.sweep("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "2 workers x 1 thread"
    assert place.outcome() == undisturbed.outcome()
    assert len(place.folders()) == 4


def test_submitits_jobs_give_what_one_run_after_another_gives(project, undisturbed):
    place = project(**SMALL)
    one = ["head=mean", "seed=0"]  # each job is a Python that starts from nothing
    done = place.sweep(*one, "hydra/launcher=submitit_local", "hydra.launcher.timeout_min=5")
    assert done.returncode == 0, done.stderr
    assert place.outcome() == undisturbed.outcome_of("mean", 0)
    assert len(place.folders()) == 1


class Cluster:
    """Two Ray nodes on this machine, each with one processor. Each node's processes have its own session."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.nodes: list[subprocess.Popen] = []
        self.port = 20001 + os.getpid() % 5000  # Ray's workers take lower ones

    def start(self) -> None:
        ray = pytest.importorskip("ray")  # not before: every process of pytest-xdist reads this file
        address = f"{ray.util.get_node_ip_address()}:{self.port}"
        for where in ([f"--port={self.port}", "--head", "--include-dashboard=false"], [f"--address={address}"]):
            command = [str(Path(sys.executable).parent / "ray"), "start", "--block", "--num-cpus=1",
                       "--object-store-memory=80000000", "--disable-usage-stats", *where]  # fmt: skip
            if "--head" in where:
                command.append(f"--temp-dir={self.folder}")
            log = self.folder / f"node{len(self.nodes)}.log"
            with log.open("w") as out:
                self.nodes.append(subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True))
            end = time.monotonic() + 120
            while "will now block forever" not in log.read_text():
                assert self.nodes[-1].poll() is None, log.read_text()
                assert time.monotonic() < end, log.read_text()
                time.sleep(0.2)
        self.address = address

    def kill(self, node: int) -> None:
        process = psutil.Process(self.nodes[node].pid)
        for child in [*process.children(recursive=True), process]:
            try:
                child.send_signal(signal.SIGKILL)
            except psutil.NoSuchProcess:
                continue
        self.nodes[node].wait()

    def stop(self) -> None:
        for node in reversed(range(len(self.nodes))):
            if self.nodes[node].poll() is None:
                self.kill(node)


@pytest.fixture
def cluster():
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp") as folder:  # sockets need a short path
        two = Cluster(Path(folder))
        try:
            two.start()
            yield two
        finally:
            two.stop()


NOTES_ITS_NODE = """
import os, pathlib, ray
from head2head.model.heads.pooling import Mean

class Noting(Mean):
    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        pathlib.Path("nodes").mkdir(exist_ok=True)
        pathlib.Path("nodes", str(os.getpid())).write_text(ray.get_runtime_context().get_node_id())
"""


def nodes_of(place: Project) -> set[str]:
    """The Ray nodes that runs have been on."""
    return {path.read_text() for path in place.folder.glob("nodes/*")}


def by_seed(place: Project, head: str) -> dict[int, list]:
    """What came out of a head's runs."""
    return {seed: rest for _, found, seed, *rest in place.outcome().values() if found == head}


def test_a_ray_cluster_gives_the_same_and_a_node_that_dies_half_way_does_not_stop_the_sweep(
    project, cluster, undisturbed
):
    place = project(**SMALL)
    (place.folder / "own.py").write_text(NOTES_ITS_NODE)
    (place.folder / "configs/head").mkdir(parents=True)
    (place.folder / "configs/head/noting.yaml").write_text(
        "defaults: [mean, _self_]\npool: {_target_: own.Noting, special_tokens: true}\n"
    )
    launcher = ["hydra/launcher=ray", f"hydra.launcher.ray.init.address={cluster.address}"]
    sweep = place.command("head=noting", "seed=0,1,2", *launcher)
    place.wait(lambda: len(nodes_of(place)) == 2 or sweep.poll() is not None)
    cluster.kill(1)
    done = ended(sweep)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 of 3 runs finished" in done.stdout
    assert len(nodes_of(place)) == 2
    noted = by_seed(place, "noting")
    assert sorted(noted) == [0, 1, 2]
    assert {seed: noted[seed] for seed in (0, 1)} == by_seed(undisturbed, "mean")
