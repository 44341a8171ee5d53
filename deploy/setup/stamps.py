"""Which steps are done, and from what: a digest in a small file for each step."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path


def digest(*parts: str | bytes | Path) -> str:
    """A short digest of texts and file contents; it changes when any of them does.

    >>> digest("a", "b") == digest("ab")
    False
    """
    whole = hashlib.sha256()
    for part in parts:
        content = part.read_bytes() if isinstance(part, Path) else part
        content = content.encode() if isinstance(content, str) else content
        whole.update(len(content).to_bytes(8, "big") + content)
    return whole.hexdigest()[:24]


def identity(files: list[Path]) -> str:
    """A digest of sizes and times: changes when a package is installed again."""
    seen = []
    for file in files:
        status = file.stat()
        seen.append(f"{file}:{status.st_size}:{status.st_mtime_ns}")
    return digest(*seen)


def done(folder: Path, step: str, made_from: str) -> bool:
    """Whether the step was finished from just this."""
    stamp = folder / step
    return stamp.exists() and stamp.read_text().strip() == made_from


def mark(folder: Path, step: str, made_from: str) -> None:
    """Note that the step is finished."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / step, made_from + "\n")


def write_atomic(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a file so that a reader sees the old one or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(text)
    fresh.chmod(mode)
    os.replace(fresh, path)
