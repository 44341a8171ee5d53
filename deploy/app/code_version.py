"""Which code judges: the release, and a digest of the sources that verdicts are computed by."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from pathlib import Path

from deploy import __version__

JUDGING = ("streaming", "retrain", "serving")
"""The packages that hold the decisions."""
_ENGINES = "engines"


@cache
def code_version() -> str:
    """Release and digest, for example ``0.1.0+3fa9c1d2e4b0``; engines are left out.

    >>> code_version().startswith(f"{__version__}+")
    True
    """
    digest = hashlib.sha256()
    for package in JUDGING:
        root = Path(str(files(package)))
        for path in sorted(root.rglob("*.py")):
            name = path.relative_to(root)
            if _ENGINES not in name.parts:
                digest.update(f"{package}/{name.as_posix()}\0".encode())
                digest.update(path.read_bytes())
    return f"{__version__}+{digest.hexdigest()[:12]}"
