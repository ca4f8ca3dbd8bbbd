"""A sweep that is told to end by SIGTERM."""

import signal

from project import ended


def test_sigterm_ends_a_sweep_with_143_and_the_next_one_does_the_rest(project):
    place = project(task=["majority"], head=["mean", "max"], seed=[0])
    process = place.start()
    place.wait(lambda: any(place.folder.glob("lightning_logs/.claims/*")) or process.poll() is not None)
    process.send_signal(signal.SIGTERM)
    told = ended(process)
    assert (told.returncode, told.stderr.splitlines()[-1]) == (143, "ended by SIGTERM: only finished runs were kept")
    done = place.sweep()
    assert done.returncode == 0, done.stderr
    assert len(place.results()) == len(place.folders()) == 2
