"""Ends a process that this one has started for a while, outside of the supervised stack."""

from __future__ import annotations

import subprocess


def end_process(process: subprocess.Popen[bytes], grace_seconds: float) -> None:
    """Terminate a process, kill it after `grace_seconds`, and collect its exit status."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(grace_seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
