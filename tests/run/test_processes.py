"""How a process ends that is told to."""

import os
import signal

import pytest

from head2head.run import processes


class Told:
    """An object whose finalizer is at work when SIGTERM comes."""

    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_sigterm_that_a_finalizer_swallows_ends_the_process_at_its_next_step():
    with processes.ending_on_sigterm():
        processes.end_if_told()
        told = Told()
        del told  # Python prints what is raised here, and goes on
        with pytest.raises(processes.Terminated) as ended:
            processes.end_if_told()
    assert ended.value.code == 143
    with processes.ending_on_sigterm():
        processes.end_if_told()  # it was another one's
