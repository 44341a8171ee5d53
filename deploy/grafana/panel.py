"""What one picture of the dashboard is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

MODEL = 'model=~"$model"'
"""Selects the models that are looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One picture: expressions with their legends."""

    title: str
    shows: tuple[tuple[str, str], ...]
    unit: str = "short"
    kind: str = "timeseries"
    help: str = ""
    limit: float | None = None
    """Drawn as a red line."""
    stacked: bool = False


def one(title: str, expression: str, **more: Any) -> Panel:
    """A single number."""
    return Panel(title=title, shows=((expression, ""),), kind="stat", **more)


Row = tuple[str, int, tuple[Panel, ...]]
"""Title, height and panels."""
