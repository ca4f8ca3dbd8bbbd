"""The same sweep by every launcher: the engines differ, the results do not."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from project import Project

pytest.importorskip("ray")
pytest.importorskip("submitit")

SMALL = {"task": ["majority"], "head": ["mean", "max"], "seed": [0, 1]}


@pytest.fixture(scope="module")
def basic(tmp_path_factory):
    """What comes out of one run after another."""
    place = Project(tmp_path_factory.mktemp("basic") / "project", **SMALL)
    done = place.sweep()
    assert done.returncode == 0, done.stderr
    return place.outcome()


@pytest.mark.parametrize(
    "launcher",
    [
        ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"],
        ["hydra/launcher=submitit_local", "hydra.launcher.timeout_min=5"],
    ],
    ids=["joblib", "submitit_local"],
)
def test_launchers_give_what_one_run_after_another_gives(launcher, project, basic):
    place = project(**SMALL)
    done = place.sweep(*launcher)
    assert done.returncode == 0, done.stderr
    assert place.outcome() == basic
    assert len(place.folders()) == 4


class Cluster:
    """Two Ray nodes on this machine, each with one processor. Each node's processes have its own session."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.nodes: list[subprocess.Popen] = []
        self.port = 16379 + os.getpid() % 2000

    def start(self) -> None:
        # Ray's own worker ports are drawn from a wide range; several clusters may run at once.
        head = ["--head", f"--port={self.port}", "--include-dashboard=false", f"--temp-dir={self.folder}"]
        for arguments in (head, [f"--address=127.0.0.1:{self.port}"]):
            command = [str(Path(sys.executable).parent / "ray"), "start", "--block", "--num-cpus=1",
                       "--object-store-memory=80000000", "--disable-usage-stats", *arguments]  # fmt: skip
            out = (self.folder / f"node{len(self.nodes)}.log").open("w")
            self.nodes.append(subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True))
            self.wait_for(len(self.nodes))

    def wait_for(self, count: int) -> None:
        code = (
            "import ray, sys, time\n"
            f"ray.init(address='127.0.0.1:{self.port}', log_to_driver=False)\n"
            f"end = time.time() + 60\n"
            f"while sum(node['Alive'] for node in ray.nodes()) < {count}:\n"
            "    assert time.time() < end\n"
            "    time.sleep(0.2)\n"
        )
        for _ in range(30):
            if subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=120).returncode == 0:
                return
        raise AssertionError("the cluster did not come up")

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
def cluster(tmp_path_factory):
    import tempfile

    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp") as folder:  # sockets need a short path
        two = Cluster(Path(folder))
        try:
            two.start()
            yield two
        finally:
            two.stop()


def nodes_of(place: Project) -> set[str]:
    """The Ray nodes that the runs were on."""
    lines = [json.loads(path.read_text()) for path in place.folder.glob("nodes/*.json")]
    return {line["node"] for line in lines}
