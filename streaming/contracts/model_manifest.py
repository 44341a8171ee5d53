"""The manifest of a published model version: a digest of every file that is served.

The retrain worker writes it with the version, and a model server compares the files with it before
it loads them. ``assets.extra/manifest.sha256`` has one line ``<sha256>  <path>`` per file, sorted
by path, as ``sha256sum --check`` reads it. The digest of a version is the SHA-256 of its manifest;
the version's record (``assets.extra/driftline.json``) carries it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

EXTRA = "assets.extra"
"""Folder inside a SavedModel for files that are not part of the graph."""

RECORD = f"{EXTRA}/driftline.json"
"""The version's `ModelVersion` record."""

MANIFEST = f"{EXTRA}/manifest.sha256"
"""SHA-256 of every served file."""


def manifest_of(folder: Path) -> bytes:
    """The manifest of the files in a folder; manifest and record are not part of it."""
    files = sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )
    lines = [
        f"{_file_digest(folder / name)}  {name}\n"
        for name in files
        if name not in (RECORD, MANIFEST)
    ]
    return "".join(lines).encode()


def served_size(folder: Path) -> int:
    """Bytes of the files that a model server loads: all but those in `EXTRA`; 0 without files."""
    return sum(
        path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file() and path.relative_to(folder).parts[0] != EXTRA
    )


def manifest_digest(manifest: bytes) -> str:
    """The digest of a version with this manifest."""
    return hashlib.sha256(manifest).hexdigest()


def _file_digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
