"""What Python's collector is told about the large libraries."""

import gc
import weakref

import pytest

from head2head.run.importing import importing


@pytest.fixture(autouse=True)
def nothing_frozen():
    gc.unfreeze()
    yield
    gc.unfreeze()


class Ring:
    """Garbage that only the collector finds."""

    def __init__(self) -> None:
        self.itself = self


def test_the_collector_rests_while_libraries_are_loaded_and_then_passes_over_what_they_made():
    with importing():
        assert not gc.isenabled()
        made = {"a module's": []}
    assert gc.isenabled()
    assert not any(known is made for known in gc.get_objects())
    assert gc.get_freeze_count() > 0


def test_what_is_made_later_is_collected_in_a_second_call_too():
    with importing():
        pass
    frozen = gc.get_freeze_count()
    with importing():
        assert gc.isenabled()
        ring = weakref.ref(Ring())
    gc.collect()
    assert ring() is None
    assert gc.get_freeze_count() <= frozen


def test_the_collector_works_again_after_an_import_that_failed():
    with pytest.raises(ModuleNotFoundError), importing():
        import no_such_module  # noqa: F401
    assert gc.isenabled()


def test_who_runs_without_a_collector_keeps_it_so():
    gc.disable()
    try:
        with importing():
            pass
        assert not gc.isenabled()
        assert gc.get_freeze_count() == 0
    finally:
        gc.enable()
