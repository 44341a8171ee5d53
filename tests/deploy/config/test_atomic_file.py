"""A file is replaced in one step, and is on the disk afterwards."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deploy.config.atomic_file import write_atomic


@pytest.mark.parametrize("content", [b"x", b"", "text", "\u00e4" * 10_000])
def test_content_is_written_to_the_disk_before_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | str
) -> None:
    """Else a power cut may leave the new name with no content."""
    steps: list[str] = []
    sync, move = os.fsync, os.replace

    def synced(descriptor: int) -> None:
        kind = "folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file"
        steps.append(f"sync {kind}")
        sync(descriptor)

    def moved(source: Path, target: Path) -> None:
        steps.append("replace")
        move(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", moved)
    file = tmp_path / "folder" / "file"
    write_atomic(file, content)
    assert steps == ["sync file", "replace", "sync folder"]
    assert file.read_bytes() == (content if isinstance(content, bytes) else content.encode())
    assert [path.name for path in file.parent.iterdir()] == ["file"]
