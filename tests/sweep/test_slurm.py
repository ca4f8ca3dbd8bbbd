"""SLURM, played by scripts: sbatch starts jobs or keeps them queued, sacct says how they stand, scancel ends them."""

import json
import os
import signal
import sys
import time

import psutil
import pytest
from project import SMALL, Project, ended

pytest.importorskip("hydra_plugins.hydra_submitit_launcher")

# A number a job: its process is noted; what is queued has none. Arrays are started task by task.
SBATCH = """#!{python}
import json, os, pathlib, re, subprocess, sys
state = pathlib.Path(os.environ["FAKE_SLURM"])
number = str(1000 + len(list(state.glob("job-*"))))
text = pathlib.Path(sys.argv[-1]).read_text()
(state / f"job-{{number}}").write_text(sys.argv[-1])
array = re.search(r"--array=0-(\\d+)", text)
tasks = range(int(array.group(1)) + 1) if array else [None]
mode = (state / "mode").read_text() if (state / "mode").exists() else "run"
for task in tasks:
    name = number if task is None else f"{{number}}_{{task}}"
    own = {{"SLURM_JOB_ID": name, "SLURM_NTASKS": "1", "SLURM_JOB_NUM_NODES": "1", "SLURM_JOB_NODELIST": "node",
           "SLURM_LOCALID": "0", "SLURM_NODEID": "0", "SLURM_PROCID": "0"}}
    if task is not None:
        own |= {{"SLURM_ARRAY_JOB_ID": number, "SLURM_ARRAY_TASK_ID": str(task)}}
    if mode == "queue":
        (state / f"queued-{{name}}").touch()
        continue
    process = subprocess.Popen(["bash", sys.argv[-1]], env=os.environ | own, start_new_session=True,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    (state / f"pid-{{name}}").write_text(str(process.pid))
print(f"Submitted batch job {{number}}")
"""
SRUN = """#!{python}
import os, sys
arguments = sys.argv[1:]
while arguments and arguments[0].startswith("-"):
    flag = arguments.pop(0)
    if flag in ("--output", "--error") and "=" not in flag:
        arguments.pop(0)
os.execvp(arguments[0], arguments)
"""
SACCT = """#!{python}
import os, pathlib
state = pathlib.Path(os.environ["FAKE_SLURM"])
print("JobID|State|NodeList|")
for path in state.glob("pid-*"):
    try:
        status = pathlib.Path(f"/proc/{{path.read_text()}}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        status = "Z"
    print(f"{{path.name[4:]}}|{{'NODE_FAIL' if status == 'Z' else 'RUNNING'}}|node|")
for path in state.glob("queued-*"):
    print(f"{{path.name[7:]}}|PENDING||")
"""
SCANCEL = """#!{python}
import os, pathlib, signal, sys
state = pathlib.Path(os.environ["FAKE_SLURM"])
with (state / "cancelled").open("a") as file:
    file.write(" ".join(sys.argv[1:]) + "\\n")
for number in sys.argv[1:]:
    for path in [*state.glob(f"queued-{{number}}*"), *state.glob(f"pid-{{number}}*")]:
        if path.name.startswith("pid-"):
            try:
                os.killpg(int(path.read_text()), signal.SIGTERM)
            except ProcessLookupError:
                pass
        else:
            path.unlink()
"""
LAUNCHER = ["hydra/launcher=submitit_slurm", "hydra.launcher.timeout_min=5", "hydra.launcher.mem_gb=null"]


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """The scripts, first on the path, and the folder of their state."""
    state, bin_ = tmp_path / "state", tmp_path / "bin"
    for folder in (state, bin_):
        folder.mkdir()
    for name, script in (("sbatch", SBATCH), ("srun", SRUN), ("sacct", SACCT), ("squeue", SACCT), ("scancel", SCANCEL)):
        (bin_ / name).write_text(script.format(python=sys.executable))
        (bin_ / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_SLURM", str(state))
    yield state
    for path in state.glob("pid-*"):
        for process in _group(int(path.read_text())):
            process.kill()


def _group(number):
    return [p for p in psutil.process_iter() if p.pid > 1 and _session(p.pid) == number]


def _session(pid):
    try:
        return os.getsid(pid)
    except OSError:
        return None


def test_a_job_that_is_lost_with_its_node_is_done_again(project, slurm, undisturbed):
    place = project(**SMALL)
    sweep = place.start("head=mean", "seed=0", *LAUNCHER)
    claims = place.folder / "lightning_logs/.claims"
    place.wait(lambda: any(len(p.name) == 64 for p in claims.glob("*")) or sweep.poll() is not None)
    held = [json.loads(path.read_text()) for path in claims.glob("?" * 64)]
    lost = os.getsid(held[0]["pid"])
    for process in _group(lost):
        process.send_signal(signal.SIGKILL)
    done = ended(sweep)
    assert done.returncode == 0, done.stdout + done.stderr
    assert place.outcome() == undisturbed.outcome_of("mean", 0)
    assert len(list(slurm.glob("job-*"))) == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_sweep_that_is_ended_takes_back_what_is_queued(number, project, slurm):
    (slurm / "mode").write_text("queue")
    place: Project = project(**SMALL)
    sweep = place.start("seed=0", *LAUNCHER)
    place.wait(lambda: any(slurm.glob("queued-*")) or sweep.poll() is not None)
    time.sleep(0.5)
    sweep.send_signal(number)
    done = ended(sweep)
    assert done.returncode == 128 + number
    assert (slurm / "cancelled").read_text().split() == ["1000"]
    assert not list(slurm.glob("queued-*"))
    assert not place.results()
