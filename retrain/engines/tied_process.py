"""Processes that end with the one that has started them, also when that is killed."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

_BECOME = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, int(sys.argv[2]))
if os.getppid() != int(sys.argv[1]):
    sys.exit("The process that started this one has ended.")
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, signal.SIG_DFL)
os.execvp(sys.argv[3], sys.argv[3:])
"""
"""Becomes the command, after asking the kernel (PR_SET_PDEATHSIG) for a signal when its parent has
ended. The command must not ignore the signals that its parent ignores."""


def tied(command: Sequence[str], *, by: signal.Signals = signal.SIGKILL) -> list[str]:
    """The command line of a child that gets the signal `by` when the thread that starts it ends.

    Linux counts threads as parents, so a long-lived thread must start the child.

    >>> tied(["sleep", "9"])[4:]
    ['9', 'sleep', '9']
    """
    return [sys.executable, "-c", _BECOME, str(os.getpid()), str(int(by)), *command]
