"""Tells the traffic of the demo profile what to do: ``python -m deploy.docker.phase shifted``."""

from __future__ import annotations

import sys
from typing import get_args

from deploy.demo import control
from deploy.wiring import House
from streaming.contracts.errors import Misconfigured


def switch(house: House, phase: str) -> None:
    """Write the traffic's control file; predictions go on from now.

    Raises
    ------
    Misconfigured
        For a phase that the traffic does not know.
    """
    for known in get_args(control.Phase):
        if phase == known:
            file = control.control_file(house.home / "demo")
            control.write(file, control.Control(phase=known, predict=True))
            return
    raise Misconfigured(f"Phase {phase!r} is unknown; use one of {get_args(control.Phase)}.")


if __name__ == "__main__":
    switch(House.load(), sys.argv[1])
