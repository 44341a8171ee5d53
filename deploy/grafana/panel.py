"""The description of one panel of the dashboard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

MODEL = 'model=~"$model"'
"""PromQL matcher of the selected models."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One panel."""

    title: str
    shows: tuple[tuple[str, str], ...]
    """Pairs of a PromQL expression and its legend."""
    unit: str = "short"
    kind: str = "timeseries"
    help: str = ""
    limit: float | None = None
    """Drawn as a red line."""
    stacked: bool = False


def stat(title: str, expression: str, **more: Any) -> Panel:
    """A panel with a single number."""
    return Panel(title=title, shows=((expression, ""),), kind="stat", **more)


Row = tuple[str, int, tuple[Panel, ...]]
"""Title, height and panels."""
