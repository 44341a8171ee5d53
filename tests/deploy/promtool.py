"""Runs promtool: the one of the embedded stack, or one on PATH."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]


def promtool(*arguments: str | Path) -> str:
    """Run promtool and return its output; an error fails the test."""
    installed = PROJECT / ".driftline" / "opt" / "prometheus" / "bin" / "promtool"
    executable = str(installed) if installed.exists() else shutil.which("promtool")
    assert executable, (
        "promtool is neither in .driftline/opt/prometheus nor on PATH; run `make setup`."
    )
    completed = subprocess.run(
        [executable, *map(str, arguments)], check=False, capture_output=True, text=True, timeout=120
    )
    assert completed.returncode == 0, completed.stdout + completed.stderr
    return completed.stdout + completed.stderr
