"""The environment is installed from its locks alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from deploy.config.paths import install_paths
from deploy.setup import environment, stamps, uv


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands of uv that an installation runs, in order."""
    recorded: list[list[str]] = []

    def record(command: Sequence[str | Path], **_: object) -> None:
        recorded.append([str(part) for part in command])

    monkeypatch.setattr(uv, "run", record)
    program = tmp_path / "uv"
    program.touch()
    environment.install(program, install_paths())
    return recorded


def test_every_package_needs_a_hash(commands: list[list[str]]) -> None:
    fetching = [command for command in commands if command[1] == "pip"]
    assert len(fetching) == 2
    assert all("--require-hashes" in command for command in fetching)


def test_build_tools_are_installed_first_and_no_others_are_fetched(
    commands: list[list[str]],
) -> None:
    tools, packages = [command for command in commands if command[1] == "pip"]
    assert tools[-1] == str(environment.BUILD_LOCK)
    assert packages[-1] == str(environment.LOCK)
    assert "--no-build-isolation" in packages


def test_a_changed_lock_of_the_build_tools_installs_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = environment.made_from()
    changed = tmp_path / "build.lock"
    changed.write_text(environment.BUILD_LOCK.read_text() + "# changed\n")
    monkeypatch.setattr(environment, "BUILD_LOCK", changed)
    assert environment.made_from() != before
    stamps.mark(tmp_path, "environment", before)
    assert not stamps.done(tmp_path, "environment", environment.made_from())
