"""Finds promtool: the installed one of the embedded stack, else one on PATH."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]


def promtool(*arguments: str | Path) -> str:
    """Run promtool; its output, or the test fails with it."""
    installed = PROJECT / ".driftline" / "opt" / "prometheus" / "bin" / "promtool"
    found = str(installed) if installed.exists() else shutil.which("promtool")
    assert found, "promtool is neither in .driftline/opt/prometheus nor on PATH; run `make setup`."
    done = subprocess.run(
        [found, *map(str, arguments)], check=False, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
