"""Background work of `tests/run`: out of the way of everything else, and ended by Ctrl-C."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys

from tests import low_priority

COMMAND = (sys.executable, low_priority.__file__)
REPORT = "import json, os; print(json.dumps([os.getsid(0), os.getpriority(os.PRIO_PROCESS, 0)]))"


def test_the_command_has_a_session_and_a_nice_value_of_its_own() -> None:
    with subprocess.Popen(
        [*COMMAND, sys.executable, "-c", REPORT], stdout=subprocess.PIPE
    ) as process:
        printed, _ = process.communicate(timeout=60)
    session, nice = json.loads(printed)
    assert session == process.pid != os.getsid(0)
    assert nice == min(19, os.getpriority(os.PRIO_PROCESS, 0) + low_priority.PROCESS_NICE)


def test_the_session_is_nice_where_the_kernel_shares_between_sessions() -> None:
    show = (
        f"import pathlib; session = pathlib.Path('{low_priority.SESSION}');"
        "print(session.exists() and session.read_text())"
    )
    shown = subprocess.run(
        [*COMMAND, sys.executable, "-c", show], capture_output=True, text=True, check=True
    )
    exists = low_priority.SESSION.exists()
    assert shown.stdout.strip().endswith(f"nice {low_priority.SESSION_NICE}" if exists else "False")


def test_a_shell_that_is_interrupted_can_end_it() -> None:
    """A shell without job control starts background commands so that they ignore the signal."""
    wait = "import time; print(1, flush=True); time.sleep(600)"
    waiting = shlex.join([*COMMAND, sys.executable, "-c", wait])
    script = f"{waiting} & echo $! >&2; wait $!; exit $?"
    with subprocess.Popen(
        ["bash", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as shell:
        assert shell.stderr is not None
        assert shell.stdout is not None
        leader = int(shell.stderr.readline())
        assert shell.stdout.readline() == "1\n"  # it runs
        os.killpg(leader, signal.SIGINT)
        assert shell.wait(timeout=60) == 128 + signal.SIGINT
