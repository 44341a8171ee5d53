"""Tells the traffic of the demo profile what to do: ``python -m deploy.docker.phase shifted``.

With ``--new-column`` events carry a column that nobody has announced.
"""

from __future__ import annotations

import sys
from typing import get_args

from deploy.demo import control
from deploy.wiring import House
from streaming.contracts.errors import Misconfigured


def switch(house: House, phase: str, *, new_column: bool = False) -> None:
    """Write the traffic's control file; predictions go on from now.

    Raises
    ------
    Misconfigured
        For a phase that the traffic does not know.
    """
    for known in get_args(control.Phase):
        if phase == known:
            file = control.control_file(house.home / "demo")
            wanted = control.Control(phase=known, predict=True, new_column=new_column)
            control.write(file, wanted)
            return
    raise Misconfigured(f"Phase {phase!r} is unknown; use one of {get_args(control.Phase)}.")


if __name__ == "__main__":
    switch(House.load(), sys.argv[1], new_column="--new-column" in sys.argv[2:])
