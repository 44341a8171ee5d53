"""A folder that every worker of a parallel run uses and that is made once."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest


def shared_folder(folders: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """The folder `name` of this test run; its tests may only read it.

    Parameters
    ----------
    make:
        Fills the empty folder. When it fails, the next worker tries again.
    """
    base = folders.getbasetemp()
    run = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    done = run / f"{name}.done"
    with (run / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if done.exists():
            return Path(done.read_text())
        folder = folders.mktemp(name)
        make(folder)
        done.write_text(str(folder))
        return folder
