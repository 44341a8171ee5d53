"""The reference pages in `docs/` are those that the code makes now."""

from __future__ import annotations

from deploy.reference.__main__ import outdated
from deploy.reference.pages import pages


def test_the_reference_is_current() -> None:
    assert outdated() == [], "run `make docs`"


def test_nothing_in_the_reference_is_without_a_meaning() -> None:
    for name in ("settings.md", "metrics.md"):
        rows = [line for line in pages()[name].splitlines() if line.startswith("| `")]
        assert rows
        assert [row for row in rows if row.endswith("|  |")] == []
