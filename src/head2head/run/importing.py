"""Loading the large libraries, torch and its kin."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Around the import of the large libraries. What they make stays until the process ends, and Python's collector is
    told so: it would look through all of it several times while they are loaded, and again when the process ends, which
    is a fifth of the time of a short run. What is made later is collected as ever; a second call changes nothing.
    """
    if gc.get_freeze_count() or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.freeze()
