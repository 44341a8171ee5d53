"""Switches the phase of the demo profile's traffic: ``python -m deploy.docker.phase shifted``.

``--new-column`` adds an unannounced column to every event.
"""

from __future__ import annotations

import sys
from typing import get_args

from deploy.app.deployment import Deployment
from deploy.demo import control
from streaming.contracts.errors import ConfigurationError


def switch(deployment: Deployment, phase: str, *, new_column: bool = False) -> None:
    """Write the traffic's control file; this also starts the requests for predictions.

    Raises
    ------
    ConfigurationError
        When the phase is unknown.
    """
    phases = get_args(control.TrafficPhase)
    for known in phases:
        if phase == known:
            file = control.control_file(deployment.home / "demo")
            control.write(file, control.Control(phase=known, predict=True, new_column=new_column))
            return
    raise ConfigurationError(f"Phase {phase!r} is unknown; use one of {', '.join(phases)}.")


if __name__ == "__main__":
    switch(Deployment.load(), sys.argv[1], new_column="--new-column" in sys.argv[2:])
