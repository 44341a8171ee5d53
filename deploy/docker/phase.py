"""Tells the traffic of the demo profile what to do: ``python -m deploy.docker.phase shifted``.

With ``--new-column`` events carry a column that nobody has announced.
"""

from __future__ import annotations

import sys
from typing import get_args

from deploy.app.deployment import Deployment
from deploy.demo import control
from streaming.contracts.errors import ConfigurationError


def switch(deployment: Deployment, phase: str, *, new_column: bool = False) -> None:
    """Write the traffic's control file; predictions go on from now.

    Raises
    ------
    ConfigurationError
        For a phase that the traffic does not know.
    """
    for known in get_args(control.Phase):
        if phase == known:
            file = control.control_file(deployment.home / "demo")
            wanted = control.Control(phase=known, predict=True, new_column=new_column)
            control.write(file, wanted)
            return
    raise ConfigurationError(f"Phase {phase!r} is unknown; use one of {get_args(control.Phase)}.")


if __name__ == "__main__":
    switch(Deployment.load(), sys.argv[1], new_column="--new-column" in sys.argv[2:])
