"""Folders of one installation: code, engines, state. Standard library only."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from streaming.contracts.errors import ConfigurationError

PROJECT = Path(__file__).resolve().parents[2]
SETUP = Path(__file__).resolve().parents[1] / "setup"
DEFAULT_FILE = Path(__file__).resolve().parent / "driftline.yaml"
"""The shipped configuration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallPaths:
    """Folders of one installation.

    >>> InstallPaths(opt=Path("/o"), python=Path("/v/bin/python")).kafka
    PosixPath('/o/kafka')
    """

    opt: Path
    """Engines; nothing but the installer writes here. All homes of a checkout share it."""
    python: Path
    """The interpreter of the locked environment."""

    @property
    def stamps(self) -> Path:
        """One small file for each finished step."""
        return self.opt / "stamps"

    @property
    def kafka(self) -> Path:
        """Jars of the broker."""
        return self.opt / "kafka"

    @property
    def beam(self) -> Path:
        """Jars of the Beam job server."""
        return self.opt / "beam"

    @property
    def flink(self) -> Path:
        """Root of the Flink distribution (has lib, plugins, bin, conf)."""
        return self.opt / "flink" / "pyflink"

    @property
    def prometheus(self) -> Path:
        """Holds bin/prometheus, bin/promtool, bin/alertmanager, bin/amtool."""
        return self.opt / "prometheus"

    @property
    def venv_bin(self) -> Path:
        """Programs of the environment."""
        return self.python.parent

    @property
    def site_packages(self) -> Path:
        """Packages of the environment, also when another interpreter asks."""
        return self.python.parent.parent / "lib" / "python3.11" / "site-packages"


def is_checkout() -> bool:
    """Whether this code runs from a checkout of the repository, not from an installed package."""
    return (PROJECT / "pyproject.toml").is_file() and (PROJECT / "requirements.lock").is_file()


def home(environment: Mapping[str, str] = os.environ) -> Path:
    """The folder of state and downloads.

    DRIFTLINE_HOME if it is set. Else `.driftline` of the checkout, or for an installed package the
    user's state folder (XDG_STATE_HOME, by default ``~/.local/state``), never site-packages.
    """
    named = environment.get("DRIFTLINE_HOME")
    if named:
        return _folder("DRIFTLINE_HOME", named)
    if is_checkout():
        return PROJECT / ".driftline"
    state = environment.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "driftline"


def install_paths(environment: Mapping[str, str] = os.environ) -> InstallPaths:
    """The folders of this installation; DRIFTLINE_OPT moves the engines.

    All homes of a checkout share its engines; an installed package keeps them below `home`.
    """
    inside = sys.prefix != sys.base_prefix
    bin_folder = Path(sys.prefix) / "bin" if inside else PROJECT / ".venv" / "bin"
    named = environment.get("DRIFTLINE_OPT")
    base = PROJECT / ".driftline" if is_checkout() else home(environment)
    return InstallPaths(
        opt=_folder("DRIFTLINE_OPT", named) if named else base / "opt",
        python=bin_folder / "python",
    )


def _folder(variable: str, named: str) -> Path:
    try:
        return Path(named).expanduser().resolve()
    except (RuntimeError, OSError, ValueError) as error:
        why = str(error).rstrip(".")
        raise ConfigurationError(f"{variable}={named!r} is no folder: {why}.") from error


def config_file(named: Path | None, environment: Mapping[str, str] = os.environ) -> Path:
    """The configuration file: named, DRIFTLINE_CONFIG, ./driftline.yaml, or the shipped one."""
    if named is not None:
        return named
    if "DRIFTLINE_CONFIG" in environment:
        return Path(environment["DRIFTLINE_CONFIG"])
    local = Path("driftline.yaml")
    return local if local.exists() else DEFAULT_FILE


def driftline_program() -> str:
    """How to call `driftline` from the current folder: its name, or its path if PATH lacks it."""
    if shutil.which("driftline") is not None:
        return "driftline"
    program = Path(sys.executable).with_name("driftline")
    if not program.exists():
        return "driftline"
    relative = os.path.relpath(program)
    return str(program) if relative.startswith("..") else relative
