"""Runs a command in a session of its own, at a low priority.

``python tests/low_priority.py COMMAND…`` becomes the command. Linux may share the processors
between sessions first (``CONFIG_SCHED_AUTOGROUP``); the nice value of a process then counts within
its session only. So both are set: next to other work the command gets about a tenth of a processor,
and all that is left over.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

PROCESS_NICE = 10
SESSION_NICE = 5
"""A session's share is split over the processors, so half as many steps give the same share."""
SESSION = Path("/proc/self/autogroup")


def lower() -> None:
    """Put this process into a new session of low priority.

    Raises
    ------
    PermissionError
        When this process leads a process group, and so cannot leave its session.
    """
    os.setsid()
    os.nice(PROCESS_NICE)
    if SESSION.exists():
        SESSION.write_text(str(SESSION_NICE))


def main(command: list[str]) -> None:
    """Become the command. A shell lets its background commands ignore Ctrl-C; this one does not."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    lower()
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
