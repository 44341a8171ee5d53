"""The commands of locked packages that people run start in the locked environment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("command", ["tensorboard", "check-jsonschema"])
def test_a_locked_command_starts(command: str) -> None:
    program = Path(sys.executable).parent / command
    process = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    assert any(character.isdigit() for character in process.stdout)
