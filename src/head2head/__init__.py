"""Fine-tune BERT encoders with swappable heads, and compare the heads fairly.

A few names for notebooks and other programs (docs/library.md); the command line is `head2head --help`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from head2head.errors import UserError
    from head2head.library.encoding import encode
    from head2head.library.model import Model, load
    from head2head.library.results import results

# Where each name is defined. Torch is imported with the first that needs it, not with the package (PEP 562).
_HOMES = {
    "Model": "head2head.library.model",
    "UserError": "head2head.errors",
    "encode": "head2head.library.encoding",
    "load": "head2head.library.model",
    "results": "head2head.library.results",
}

__all__ = ["Model", "UserError", "encode", "load", "results"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
