"""What the installer says while it works: plain lines, at once."""

from __future__ import annotations

import sys


class SetupFailed(Exception):
    """A step cannot work; the message says what was found and what to do."""


def say(line: str) -> None:
    """One line, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
