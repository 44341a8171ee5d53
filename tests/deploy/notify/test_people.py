"""Who may press buttons counts as the file says now; a file that cannot be used changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.config import loader
from deploy.notify.people import CurrentPeople
from tests.deploy.cli.runner import DEMO


def write(file: Path, people: str | None) -> None:
    """The demonstration's settings, with Slack where there are people."""
    lines = DEMO.read_text()
    if people is not None:
        slack = f"{{channel: C012, token_file: t, signing_secret_file: s, people: {people}}}"
        lines += f"\nalerts: {{slack: {slack}}}\n"
    file.write_text(lines)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    created = tmp_path / "driftline.yaml"
    write(created, "{U1: ann}")
    return created


def test_people_who_are_added_renamed_or_removed_count_at_once(file: Path) -> None:
    people = CurrentPeople(loader.load(file), file)
    assert people() == {"U1": "ann"}
    write(file, "{U1: anna, U2: ben}")
    assert people() == {"U1": "anna", "U2": "ben"}
    write(file, "{U2: ben}")
    assert people() == {"U2": "ben"}


def test_without_slack_nobody_may_press(file: Path) -> None:
    people = CurrentPeople(loader.load(file), file)
    write(file, None)
    assert people() == {}


def test_a_file_with_a_mistake_or_none_changes_nothing_and_is_read_once(file: Path) -> None:
    reads: list[Path] = []

    def load(path: Path) -> object:
        reads.append(path)
        return loader.load(path)

    people = CurrentPeople(loader.load(file), file, load)  # type: ignore[arg-type]
    file.write_text("alerts: {slack")
    assert [people() for _ in range(3)] == [{"U1": "ann"}] * 3
    assert len(reads) == 1
    file.unlink()
    assert people() == {"U1": "ann"}
    write(file, "{U2: ben}")
    assert people() == {"U2": "ben"}
