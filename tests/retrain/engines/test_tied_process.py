"""A process that is tied to another one ends with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import psutil
import pytest

from retrain.engines.tied_process import tied
from tests.waiting import wait_for

STARTS_A_CHILD = """
import signal, subprocess, sys
from retrain.engines.tied_process import tied
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen(tied(["sleep", "600"], by=signal.Signals(int(sys.argv[1]))))
print(child.pid, flush=True)
child.wait()
"""


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM])
def test_a_child_ends_when_its_parent_is_killed(by: signal.Signals) -> None:
    words = [sys.executable, "-c", STARTS_A_CHILD, str(int(by))]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        wait_for(lambda: child.name() == "sleep", 30.0)
        parent.kill()
    wait_for(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, 30.0)


def test_a_child_whose_parent_has_already_ended_does_not_start() -> None:
    command = tied(["echo", "started"])
    command[3] = str(os.getppid())
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "has ended" in done.stderr
