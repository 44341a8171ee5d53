"""The artifact store: big payloads as files, named by URI and checked by digest.

A payload appears under its name whole or not at all (temporary name, fsync, rename), and is read
back only while its SHA-256 is the one its record carries.
"""

from __future__ import annotations

import hashlib
import os
import shutil
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
        The folder; made when missing. URIs are ``file://`` below it, and nothing outside is read.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()

    def put(self, name: str, data: bytes) -> Artifact:
        """Store `data` as `name` (a relative path); the same name again is replaced whole."""
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

    def put_folder(self, name: str, folder: Path) -> Artifact:
        """Copy `folder` to `name`, which must not exist yet or hold the same bytes.

        Raises
        ------
        Conflict
            When `name` holds other bytes.
        """
        target = self._path(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".new-", dir=target.parent))
        try:
            shutil.copytree(folder, temporary / "it")
            for path in (temporary / "it").rglob("*"):
                _sync(path)
            found = manifest_digest(temporary / "it")
            if not target.exists():
                os.rename(temporary / "it", target)
                _sync(target.parent)
            elif manifest_digest(target) != found:
                raise Conflict(f"{name} already holds other bytes; take a new name.")
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return Artifact(uri=target.as_uri(), digest=found)

    def get(self, artifact: Artifact) -> bytes:
        """The bytes of a file.

        Raises
        ------
        NotFoundError
            When there is no such file.
        Conflict
            When the file's digest is not the artifact's.
        """
        path = self._locate(artifact.uri)
        if not path.is_file():
            raise NotFoundError(f"{artifact.uri} is not in the artifact store.")
        data = path.read_bytes()
        _compare(artifact, digest(data))
        return data

    def folder(self, artifact: Artifact) -> Path:
        """The verified folder; raises as `get`."""
        path = self._locate(artifact.uri)
        if not path.is_dir():
            raise NotFoundError(f"{artifact.uri} is not in the artifact store.")
        _compare(artifact, manifest_digest(path))
        return path

    def _path(self, name: str) -> Path:
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or ".." in parts:
            raise ConfigurationError(
                f"{name!r} is no name in the artifact store; give a relative path."
            )
        return self.root.joinpath(*parts)

    def _locate(self, uri: str) -> Path:
        split = urlsplit(uri)
        path = Path(os.path.normpath(unquote(split.path)))
        if split.scheme != "file" or split.netloc or not path.is_relative_to(self.root):
            raise NotFoundError(f"{uri} does not lie in the artifact store {self.root}.")
        return path


def manifest_digest(folder: Path) -> str:
    """SHA-256 of a folder's manifest: one line ``<sha256>  <path>`` per file, sorted by path."""
    lines = []
    for path in sorted(folder.rglob("*"), key=lambda p: p.relative_to(folder).as_posix()):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise Conflict(f"{path} is no plain file; an artifact holds nothing else.")
        if path.is_file():
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            lines.append(f"{found}  {path.relative_to(folder).as_posix()}\n")
    return digest("".join(lines).encode())


def _compare(artifact: Artifact, found: str) -> None:
    if found != artifact.digest:
        raise Conflict(
            f"{artifact.uri} has digest {found[:12]}…, its record says {artifact.digest[:12]}…; "
            "it was changed after it was written and is not used."
        )


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
