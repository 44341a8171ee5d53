"""Text as parts of a Markdown page."""

from __future__ import annotations

from collections.abc import Sequence

NOTE = "<!-- Made from the code by `make docs`; do not edit. -->\n"


def prose(text: str) -> str:
    """A text on one line, as a paragraph or the cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def cell(text: str) -> str:
    """A value as the cell of a table."""
    return text.replace("|", "\\|")


def page(lines: Sequence[str]) -> str:
    """The lines as the text of a page."""
    return "\n".join(lines).rstrip() + "\n"
