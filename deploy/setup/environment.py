"""The locked Python environment, made by uv.

The wheels of tensorflow-data-validation and ml-metadata are tagged for glibc 2.39, hence the
platform is stated; the step `glibc` then makes them load on older machines. Everything is
compiled to byte code once, because no later process should pay for it again.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from deploy.config.paths import PROJECT, InstallPaths
from deploy.setup import stamps
from deploy.setup.screen import SetupFailed, say

LOCK = PROJECT / "requirements.lock"
UV = PROJECT / ".driftline" / "uv" / "bin" / "uv"
PLATFORM = "x86_64-manylinux_2_39"


def made_from() -> str:
    """What the stamp says."""
    return stamps.digest(LOCK, PLATFORM)


def clean_environment() -> dict[str, str]:
    """This process's environment without what would make every later start slow."""
    dropped = {"PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "VIRTUAL_ENV"}
    return {name: value for name, value in os.environ.items() if name not in dropped}


def install(uv: Path, install_paths: InstallPaths) -> str:
    """Make the environment if there is none, and bring it to the state of the lock.

    Raises
    ------
    SetupFailed
        When uv is missing, or cannot fetch or verify a package.
    """
    if not uv.exists():
        raise SetupFailed(f"{uv} is missing; `make setup` fetches it first.")
    folder = install_paths.python.parent.parent
    if not install_paths.python.exists():
        _uv(uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, str(folder))
    say("    fetching and compiling the packages, up to a few minutes the first time")
    _uv(
        uv,
        "pip",
        "sync",
        "--quiet",
        "--require-hashes",
        "--python",
        str(install_paths.python),
        "--python-platform",
        PLATFORM,
        "--compile-bytecode",
        str(LOCK),
    )
    return "the locked Python environment"


def _uv(uv: Path, *arguments: str) -> None:
    done = subprocess.run([str(uv), *arguments], env=clean_environment(), check=False)
    if done.returncode != 0:
        raise SetupFailed(
            "uv could not make the Python environment; its messages are above. With the network "
            "back, run the same command again: it goes on where it stopped."
        )
