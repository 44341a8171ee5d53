"""The digest of a version's files in the store as they are now: the port `VersionFiles`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from streaming.contracts.errors import UnavailableError
from streaming.contracts.model_manifest import manifest_digest, manifest_of
from streaming.contracts.records import ModelVersion

Stamp = tuple[tuple[str, int, int, int], ...]
"""Name, size, time of change and inode of every file."""


@dataclass(slots=True)
class StoredFiles:
    """Reads the bytes once, and again when a file looks changed: it is asked at every tick."""

    _known: dict[str, tuple[Stamp, str]] = field(default_factory=dict)
    """By the version's URI; only the latest one is kept."""

    def digest(self, version: ModelVersion) -> str | None:
        """See `serving.ports.VersionFiles.digest`."""
        uri = urlsplit(version.artifact.uri)
        folder = Path(unquote(uri.path))
        if uri.scheme != "file" or not folder.is_dir():
            return None
        try:
            stamp = _stamp(folder)
            if self._known.get(version.artifact.uri, ((), ""))[0] != stamp:
                digest = manifest_digest(manifest_of(folder))
                self._known = {version.artifact.uri: (stamp, digest)}
        except OSError as error:
            raise UnavailableError(
                f"The files of version {version.version} of {version.model} cannot be read: "
                f"{error}. Check the permissions of {folder}."
            ) from error
        return self._known[version.artifact.uri][1]


def _stamp(folder: Path) -> Stamp:
    stamps = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            status = path.stat()
            name = path.relative_to(folder).as_posix()
            stamps.append((name, status.st_size, status.st_ctime_ns, status.st_ino))
    return tuple(stamps)
