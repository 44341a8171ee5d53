"""The artifact store: big payloads as files, located by URI and checked by digest.

A payload appears under its name completely or not at all (temporary name, fsync, rename). It is
read only if its SHA-256 is that of its record.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from streaming.contracts.errors import ConfigurationError, Conflict, NotFoundError
from streaming.contracts.ids import digest
from streaming.contracts.records import Artifact


class ArtifactStore:
    """Payloads below one folder.

    Parameters
    ----------
    root:
        The folder; created when missing. URIs are ``file://`` below it, and nothing outside it is
        read.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()

    def put(self, name: str, data: bytes) -> Artifact:
        """Store `data` as `name` (a relative path), and replace an existing payload."""
        target = self._path(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=".new-", dir=target.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        _sync(target.parent)
        return Artifact(uri=target.as_uri(), digest=digest(data))

    def get(self, artifact: Artifact) -> bytes:
        """The bytes of a file.

        Raises
        ------
        NotFoundError
            When there is no such file.
        Conflict
            When the file's digest differs from the artifact's.
        """
        path = self._locate(artifact.uri)
        if not path.is_file():
            raise NotFoundError(f"{artifact.uri} is not in the artifact store.")
        data = path.read_bytes()
        _check_digest(artifact, digest(data))
        return data

    def _path(self, name: str) -> Path:
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or ".." in parts:
            raise ConfigurationError(
                f"{name!r} is not a valid name in the artifact store; give a relative path."
            )
        return self.root.joinpath(*parts)

    def _locate(self, uri: str) -> Path:
        split = urlsplit(uri)
        path = Path(os.path.normpath(unquote(split.path)))
        if split.scheme != "file" or split.netloc or not path.is_relative_to(self.root):
            raise NotFoundError(f"{uri} is not in the artifact store {self.root}.")
        return path


def _check_digest(artifact: Artifact, actual: str) -> None:
    if actual != artifact.digest:
        raise Conflict(
            f"{artifact.uri} has digest {actual[:12]}…, its record has {artifact.digest[:12]}…; "
            "it was changed after it was written and is not used."
        )


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
