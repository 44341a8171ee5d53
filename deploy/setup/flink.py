"""Flink 1.19.3 out of its Python distribution, in a folder of its own.

`apache-flink-libraries` is the plain Flink distribution (jars, plugins) without PyFlink's pins,
which could not share the environment. It is built with the environment's own pinned setuptools,
so that nothing unpinned is fetched. The Prometheus reporter is a plugin already.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from deploy.config.paths import SETUP, InstallPaths
from deploy.setup import stamps
from deploy.setup.screen import SetupFailed

LOCK = SETUP / "flink.lock"


def made_from() -> str:
    """What the stamp says."""
    return stamps.digest(LOCK)


def install(uv: Path, install_paths: InstallPaths) -> str:
    """Install beside the target, then swap it in.

    Raises
    ------
    SetupFailed
        When the distribution cannot be fetched or has not the pinned digest.
    """
    target = install_paths.flink.parent
    fresh = target.with_name(f".{target.name}.fresh")
    shutil.rmtree(fresh, ignore_errors=True)
    command = [str(uv), "pip", "install", "--quiet", "--python", str(install_paths.python)]
    command += ["--no-deps", "--no-build-isolation", "--require-hashes"]
    command += ["--target", str(fresh), "-r", str(LOCK)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0 or not list(fresh.glob("pyflink/lib/flink-dist-*.jar")):
        raise SetupFailed(f"Flink could not be installed: {done.stderr.strip() or 'no flink-dist'}")
    shutil.rmtree(target, ignore_errors=True)
    os.replace(fresh, target)
    return f"Flink {version(install_paths)}"


def version(install_paths: InstallPaths) -> str:
    """Version of the installed distribution, empty if there is none."""
    jars = list(install_paths.flink.glob("lib/flink-dist-*.jar"))
    return jars[0].stem.removeprefix("flink-dist-") if jars else ""
