"""The ports of engine tests: apart for every run and for every worker of a parallel run."""

from __future__ import annotations

import os

WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
"""Number of this worker in a parallel run; 0 when there is one only."""
PORTS_OF_A_WORKER = 3000
"""More than the engines of one worker spread over."""


def port_offset(of_the_tests: int) -> int:
    """What is added to every standard port.

    Parameters
    ----------
    of_the_tests:
        Keeps tests of one worker apart that start the same engine.
    """
    run = int(os.environ.get("DRIFTLINE_TEST_PORTS", "15000"))
    return run + PORTS_OF_A_WORKER * WORKER + of_the_tests
