"""Where the engines lie: one object that the installer, the doctor and the local stack share."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
SETUP = Path(__file__).resolve().parents[1] / "setup"


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallPaths:
    """Folders of one installation.

    >>> Places(opt=Path("/o"), python=Path("/v/bin/python")).kafka
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


def install_paths(environment: Mapping[str, str] = os.environ) -> InstallPaths:
    """The places of this checkout; DRIFTLINE_OPT moves the engines."""
    inside = sys.prefix != sys.base_prefix
    bin_folder = Path(sys.prefix) / "bin" if inside else PROJECT / ".venv" / "bin"
    opt = environment.get("DRIFTLINE_OPT")
    return InstallPaths(
        opt=Path(opt).expanduser().resolve() if opt else PROJECT / ".driftline" / "opt",
        python=bin_folder / "python",
    )
