"""Roles count as the file has them now; a file that cannot be used changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.access.current_roles import CurrentRoles
from deploy.config import loader
from deploy.config.settings import Settings
from tests.deploy.cli.runner import DEMO


class File:
    """A configuration file, and how often it was read."""

    def __init__(self, path: Path) -> None:
        self.path, self.reads = path, 0

    def write(self, *roles: str, more: str = "") -> None:
        entries = ", ".join(
            f"{{person: {role.split()[0]}, role: {role.split()[1]}}}" for role in roles
        )
        self.path.write_text(f"{DEMO.read_text()}\naccess: {{roles: [{entries}]}}\n{more}")

    def load(self, path: Path) -> Settings:
        self.reads += 1
        return loader.load(path)


@pytest.fixture
def file(tmp_path: Path) -> File:
    created = File(tmp_path / "driftline.yaml")
    created.write("ann operator")
    return created


def test_a_changed_role_counts_at_once_and_an_unchanged_file_is_read_once(file: File) -> None:
    roles = CurrentRoles(loader.load(file.path), file.path, file.load)
    assert [roles().role("ann", "big_tipper") for _ in range(5)] == ["operator"] * 5
    assert file.reads == 1
    file.write("ann approver", "ben viewer")
    assert roles().role("ann", "big_tipper") == "approver"
    assert roles().known("ben")
    file.write("ben viewer")
    assert not roles().known("ann")
    assert file.reads == 3


def test_what_changed_between_the_start_and_the_first_request_counts(file: File) -> None:
    roles = CurrentRoles(loader.load(file.path), file.path)
    file.write("ben admin")
    assert roles().role("ann", "big_tipper") is None


def test_a_file_with_a_mistake_or_none_at_all_changes_nothing(file: File) -> None:
    roles = CurrentRoles(loader.load(file.path), file.path, file.load)
    file.write("ann approver", more="access: {roles")
    assert roles().role("ann", "big_tipper") == "operator"
    assert roles().role("ann", "big_tipper") == "operator"
    assert file.reads == 1  # it is not read again and again
    file.path.unlink()
    assert roles().role("ann", "big_tipper") == "operator"
    file.write("ann viewer")
    assert roles().role("ann", "big_tipper") == "viewer"


def test_a_file_without_roles_gives_nobody_all_of_them(file: File) -> None:
    roles = CurrentRoles(loader.load(file.path), file.path)
    file.path.write_text(DEMO.read_text())
    assert roles().entries
    assert roles().role("ben", "big_tipper") is None


def test_settings_without_a_file_stay_as_they_are(file: File) -> None:
    roles = CurrentRoles(loader.load(file.path))
    file.write("ann admin")
    assert roles().role("ann", "big_tipper") == "operator"
