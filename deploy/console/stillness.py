"""What does not go on: a model of which no window is judged, and a version that did not go live."""

from __future__ import annotations

from deploy.console.states import about
from deploy.projection.reader import Stored
from serving.phase import Phase

SILENT_SECONDS = 300.0
"""Shortest time without a verdict that is said; short windows miss one now and then."""
SILENT_WINDOWS = 3
"""The same, in windows."""


def silence(window: float, judged: float, now: float) -> str:
    """That no window was judged for long; empty when one was.

    Parameters
    ----------
    window:
        Length of the model's windows, in seconds.
    judged:
        When its newest window was judged, in seconds since 1970.

    >>> silence(5.0, 0.0, 200.0)
    ''
    >>> silence(5.0, 0.0, 7200.0).partition(":")[0]
    'No window was judged for 2h'
    """
    if now - judged <= max(SILENT_SECONDS, SILENT_WINDOWS * window):
        return ""
    return (
        f"No window was judged for {about(now - judged)}: no events come, or the stream job does "
        "not run. What is shown below is that old"
    )


def not_promoted(status: Stored, live: Stored | None) -> bool:
    """Whether the newest rollout has ended and its version is not the live one.

    Parameters
    ----------
    status:
        The newest rollout status of a model.
    live:
        The promotion of its live version.
    """
    if status.outcome != Phase.IDLE or not status.version:
        return False
    if live is None:
        return True
    return status.version != live.version and status.at >= live.at
