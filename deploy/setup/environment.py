"""Installs the locked Python environment with uv.

The wheels of tensorflow-data-validation and ml-metadata are tagged for glibc 2.39, so the platform
is passed to uv; the step `glibc` then makes them load on older machines. All modules are compiled
to byte code once, so that no later process has to.

Some packages come as sources. The tools that build them are installed first, by hash too, and
build isolation is off, so that uv fetches nothing but what the locks name.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from deploy.config.paths import PROJECT, SETUP, InstallPaths
from deploy.setup import stamps
from deploy.setup import uv as uv_program
from deploy.setup.screen import SetupFailed

LOCK = PROJECT / "requirements.lock"
BUILD_LOCK = SETUP / "build.lock"
UV = PROJECT / ".driftline" / "uv" / "bin" / "uv"
PLATFORM = "x86_64-manylinux_2_39"


def made_from() -> str:
    """Content of the stamp."""
    return stamps.digest(LOCK, BUILD_LOCK, PLATFORM)


def clean_environment() -> dict[str, str]:
    """This process's variables, without those that disable or bypass the compiled environment."""
    dropped = {"PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "VIRTUAL_ENV"}
    return {name: value for name, value in os.environ.items() if name not in dropped}


def install(uv: Path, install_paths: InstallPaths) -> str:
    """Create the environment if there is none, and install exactly the packages of the lock.

    Raises
    ------
    SetupFailed
        When uv is missing, or cannot fetch or verify a package.
    """
    if not uv.exists():
        raise SetupFailed(f"{uv} is missing; `make setup` fetches it first.")
    folder = install_paths.python.parent.parent
    if not install_paths.python.exists():
        venv: list[str | Path] = [
            uv,
            "venv",
            "--allow-existing",
            "--python",
            sys.executable,
            folder,
        ]
        uv_program.run(venv, environment=clean_environment())
    target: list[str | Path] = ["--require-hashes", "--python", install_paths.python]
    uv_program.run(
        [uv, "pip", "install", "--no-deps", *target, "-r", BUILD_LOCK],
        environment=clean_environment(),
    )
    sync: list[str | Path] = [uv, "pip", "sync", "--no-build-isolation", *target]
    uv_program.run(
        [*sync, "--python-platform", PLATFORM, "--compile-bytecode", LOCK],
        environment=clean_environment(),
        site_packages=install_paths.site_packages,
    )
    return "the locked Python environment"
