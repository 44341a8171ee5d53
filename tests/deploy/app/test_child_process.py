"""A child ends by SIGTERM, by SIGKILL where it does not listen, or has ended already."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from deploy.app.child_process import end_process

LISTENS = "print('ready', flush=True); import time; time.sleep(60)"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {LISTENS}"


@pytest.mark.parametrize(
    ("program", "grace_seconds", "code"),
    [(LISTENS, 30.0, -signal.SIGTERM), (DEAF, 0.2, -signal.SIGKILL), ("exit(3)", 30.0, 3)],
)
def test_a_child_is_ended_and_collected(program: str, grace_seconds: float, code: int) -> None:
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()  # ready, or ended
        if code > 0:
            child.wait(30.0)
        end_process(child, grace_seconds)
        assert child.returncode == code
