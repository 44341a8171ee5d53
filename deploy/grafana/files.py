"""Where the dashboards lie."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent / "dashboards"


def dashboard_files() -> tuple[Path, ...]:
    """The files of all dashboards, by name."""
    return tuple(sorted(FOLDER.glob("*.json")))
