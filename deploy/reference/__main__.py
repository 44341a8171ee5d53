"""Write the reference pages: ``python -m deploy.reference`` (``--check`` only compares)."""

from __future__ import annotations

import sys
from pathlib import Path

from deploy.config.paths import PROJECT
from deploy.reference.pages import pages

FOLDER = PROJECT / "docs" / "reference"


def outdated(folder: Path = FOLDER) -> list[str]:
    """Names of the pages that differ from what the code says now."""
    return [
        name
        for name, text in pages().items()
        if not (folder / name).exists() or (folder / name).read_text() != text
    ]


def main(arguments: list[str]) -> int:
    """Write or compare; 1 when `--check` finds an outdated page."""
    if "--check" in arguments:
        names = outdated()
        for name in names:
            sys.stderr.write(f"docs/reference/{name} is outdated; run `make docs`.\n")
        return 1 if names else 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
