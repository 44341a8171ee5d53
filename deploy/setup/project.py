"""Puts the project itself into the environment: its folder on the path and the `driftline` command.

Written by hand rather than through a build back end: no build requirements to fetch, and an
interrupted installation cannot leave half a package.
"""

from __future__ import annotations

from deploy.setup import stamps
from deploy.setup.places import PROJECT, Places

_COMMAND = """#!{python}
# The `driftline` command; written by deploy/setup/project.py.
import sys

from deploy.cli import main

if __name__ == "__main__":
    sys.exit(main())
"""


def install(places: Places) -> str:
    """Write the path file and the command; the same text gives the same files."""
    stamps.write_atomic(places.site_packages / "driftline.pth", f"{PROJECT}\n")
    command = _COMMAND.format(python=places.python)
    stamps.write_atomic(places.venv_bin / "driftline", command, mode=0o755)
    return "the driftline command"


def installed(places: Places) -> bool:
    """Whether the command is there and belongs to this checkout."""
    path_file = places.site_packages / "driftline.pth"
    command = places.venv_bin / "driftline"
    return path_file.exists() and path_file.read_text().strip() == str(PROJECT) and command.exists()
