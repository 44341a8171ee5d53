"""Says that a large file is being read, so that silence is not taken for a fault."""

from __future__ import annotations

from pathlib import Path

from deploy.views.output import stderr

LARGE_BYTES = 32_000_000
"""Smaller files are read within a second or two."""


def say_reading(file: Path | None) -> None:
    """Print name and size of a large file; what is wrong with the file is told by who reads it."""
    try:
        size = 0 if file is None else file.stat().st_size
    except OSError:
        return
    if size > LARGE_BYTES:
        stderr.print(
            f"Reading {file} ({size / 1e6:,.0f} MB), which takes some seconds for each 100 MB.",
            soft_wrap=True,
            markup=False,
        )
