"""Beam's Python workers, as their pool starts them."""

from __future__ import annotations

import os
import subprocess
import sys

from streaming.engines.worker_pool import ONE_THREAD

_MULTIPLY = (
    "import os, numpy, scipy.linalg; a = numpy.ones((500, 500)); a @ a; scipy.linalg.inv(a + "
    "numpy.eye(500)); print(len(os.listdir('/proc/self/task')))"
)


def test_a_worker_multiplies_in_one_thread() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _MULTIPLY],
        env=os.environ | ONE_THREAD,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "1"
