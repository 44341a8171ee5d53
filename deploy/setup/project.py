"""Adds the project to the environment: a path file and the `driftline` command.

The two files are written directly instead of by a build back end: there are no build requirements
to download, and an interrupted installation cannot leave half a package.
"""

from __future__ import annotations

from deploy.config.atomic_file import write_atomic
from deploy.config.paths import PROJECT, InstallPaths

_COMMAND = """#!{python}
# The `driftline` command; written by deploy/setup/project.py.
import sys

from deploy.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
"""


def install(install_paths: InstallPaths) -> str:
    """Write the path file and the command."""
    write_atomic(install_paths.site_packages / "driftline.pth", f"{PROJECT}\n", mode=0o644)
    command = _COMMAND.format(python=install_paths.python)
    write_atomic(install_paths.venv_bin / "driftline", command, mode=0o755)
    return "the driftline command"


def installed(install_paths: InstallPaths) -> bool:
    """Whether the command exists and belongs to this checkout."""
    path_file = install_paths.site_packages / "driftline.pth"
    command = install_paths.venv_bin / "driftline"
    return path_file.exists() and path_file.read_text().strip() == str(PROJECT) and command.exists()
