"""Installs Flink 1.19.3 from its Python distribution into a separate folder.

`apache-flink-libraries` is the plain Flink distribution (jars, plugins) without PyFlink's pins,
which conflict with the environment. It is built with the environment's pinned setuptools, so
nothing unpinned is downloaded. It includes the Prometheus reporter as a plugin.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from deploy.config.paths import SETUP, InstallPaths
from deploy.setup import stamps
from deploy.setup import uv as uv_program
from deploy.setup.screen import SetupFailed

LOCK = SETUP / "flink.lock"


def made_from() -> str:
    """Content of the stamp."""
    return stamps.digest(LOCK)


def install(uv: Path, install_paths: InstallPaths) -> str:
    """Install beside the target, then replace the target.

    Raises
    ------
    SetupFailed
        When the distribution cannot be downloaded or does not have the pinned digest.
    """
    target = install_paths.flink.parent
    fresh = target.with_name(f".{target.name}.fresh")
    shutil.rmtree(fresh, ignore_errors=True)
    command: list[str | Path] = [
        uv,
        "pip",
        "install",
        "--python",
        install_paths.python,
        "--no-deps",
    ]
    command += ["--no-build-isolation", "--require-hashes", "--target", fresh, "-r", LOCK]
    uv_program.run(command)
    if not list(fresh.glob("pyflink/lib/flink-dist-*.jar")):
        raise SetupFailed("The Flink distribution has no flink-dist; report this as a bug.")
    shutil.rmtree(target, ignore_errors=True)
    os.replace(fresh, target)
    return f"Flink {version(install_paths)}"


def version(install_paths: InstallPaths) -> str:
    """Version of the installed distribution; empty if there is none."""
    jars = list(install_paths.flink.glob("lib/flink-dist-*.jar"))
    return jars[0].stem.removeprefix("flink-dist-") if jars else ""
