"""Public names of a package that are imported when they are first used.

Reading settings imports rules from packages whose other modules need SciPy, which takes a second.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_exports(package: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """A module's ``__getattr__`` (PEP 562).

    Parameters
    ----------
    package:
        Name of the package that exports the names.
    modules:
        Public name -> module of the package that defines it.

    >>> lazy_exports("streaming", {"bucket_of": "grid"})("bucket_of").__module__
    'streaming.grid'
    """

    def find(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{modules[name]}"), name)

    return find
