"""Stamps: a small file for each finished step, with a digest of the step's inputs."""

from __future__ import annotations

import hashlib
from pathlib import Path

from deploy.config.atomic_file import write_atomic


def digest(*parts: str | bytes | Path) -> str:
    """A short digest of texts and file contents.

    >>> digest("a", "b") == digest("ab")
    False
    """
    hasher = hashlib.sha256()
    for part in parts:
        content = part.read_bytes() if isinstance(part, Path) else part
        content = content.encode() if isinstance(content, str) else content
        hasher.update(len(content).to_bytes(8, "big") + content)
    return hasher.hexdigest()[:24]


def identity(files: list[Path]) -> str:
    """A digest of sizes and times; it changes when a package is installed again."""
    parts = []
    for file in files:
        status = file.stat()
        parts.append(f"{file}:{status.st_size}:{status.st_mtime_ns}")
    return digest(*parts)


def done(folder: Path, step: str, made_from: str) -> bool:
    """Whether the step was finished from exactly these inputs."""
    stamp = folder / step
    return stamp.exists() and stamp.read_text().strip() == made_from


def mark(folder: Path, step: str, made_from: str) -> None:
    """Write the stamp of a finished step."""
    write_atomic(folder / step, made_from + "\n", mode=0o644)
