"""The model store on a file system: ``models/<model>/<version>/``, as TF Serving reads it.

A version appears by one rename of a finished, synced folder, with its record inside
(``assets.extra/driftline.json``) and its manifest (``assets.extra/manifest.sha256``). The digest
of a version is the SHA-256 of that manifest, so it covers every byte that is served. Temporary
folders begin with a dot, because TF Serving reads numbered folders only.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from streaming.contracts.codec import decode_as, encode
from streaming.contracts.errors import Conflict, DecodeError, NotFoundError
from streaming.contracts.model_manifest import (
    EXTRA,
    MANIFEST,
    RECORD,
    manifest_digest,
    manifest_of,
)
from streaming.contracts.records import Artifact, ModelVersion

__all__ = ["EXTRA", "MANIFEST", "RECORD", "FolderStore", "folder_digest", "manifest_of"]

_FILE_MODE = 0o444
"""A published file is never written again."""


class FolderStore:
    """Implements `retrain.ports.ModelStore` in the folder `models`, one folder for each model.

    Several processes may publish at the same time; a lock file serialises them.
    """

    def __init__(self, models: Path) -> None:
        self._models = models.absolute()

    def versions(self, model: str) -> tuple[int, ...]:
        """Published version numbers, ascending."""
        folder = self._models / model
        if not folder.is_dir():
            return ()
        return tuple(sorted(int(path.name) for path in folder.iterdir() if _is_version(path)))

    def path(self, model: str, version: int) -> Path:
        """The version's folder; `NotFoundError` when it is not published."""
        folder = self._models / model / str(version)
        if not _is_version(folder):
            raise NotFoundError(
                f"Version {version} of {model} is not in the store; it has"
                f" {list(self.versions(model)) or 'none'}."
            )
        return folder

    def record(self, model: str, version: int) -> ModelVersion:
        """The record that was published with the version.

        Raises
        ------
        NotFoundError
            When there is no such version.
        DecodeError
            When its record is damaged.
        """
        return decode_as((self.path(model, version) / RECORD).read_bytes(), ModelVersion)

    def of_request(self, model: str, request_id: str) -> ModelVersion | None:
        """The record of the version that this request produced; None when there is none."""
        for version in reversed(self.versions(model)):
            try:
                record = self.record(model, version)
            except (NotFoundError, FileNotFoundError):  # removed since it was listed
                continue
            if record.request_id == request_id:
                return record
        return None

    def publish(self, record: ModelVersion, servable: Path) -> ModelVersion:
        """Copy `servable` into the store and return the record with its artifact; idempotent."""
        folder = self._models / record.model
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / ".lock"):
            published = self.of_request(record.model, record.request_id)
            if published is not None:
                return published
            target = folder / str(record.version)
            if target.exists():
                raise Conflict(
                    f"Version {record.version} of {record.model} belongs to another request;"
                    " publish under the next free number."
                )
            return _copy_into_place(record, servable, target)

    def remove(self, model: str, version: int) -> None:
        """Delete a version; it is never seen in part. Nothing happens when it is gone already."""
        folder = self._models / model
        if not folder.is_dir():
            return
        hidden = folder / f".removed-{version}"
        with _locked(folder / ".lock"):
            try:
                (folder / str(version)).rename(hidden)
            except FileNotFoundError:
                return
        for directory in (hidden, *hidden.rglob("*")):
            if directory.is_dir() and not directory.is_symlink():
                directory.chmod(0o755)
        shutil.rmtree(hidden, ignore_errors=True)

    def verify(self, model: str, version: int) -> None:
        """Compare every byte with the manifest, and the manifest with the record.

        Raises
        ------
        DecodeError
            When something was changed, added or removed since the version was published.
        """
        folder = self.path(model, version)
        manifest = manifest_of(folder)
        recorded = self.record(model, version).artifact.digest
        actual = manifest_digest(manifest)
        if manifest != (folder / MANIFEST).read_bytes() or actual != recorded:
            raise DecodeError(
                f"Version {version} of {model} was published with digest {recorded[:12]} and now"
                f" has {actual[:12]}: its files were changed. Roll back and retrain."
            )


def folder_digest(folder: Path) -> str:
    """The digest that `publish` gives a copy of `folder`."""
    return manifest_digest(manifest_of(folder))


def _copy_into_place(record: ModelVersion, servable: Path, target: Path) -> ModelVersion:
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        temporary.chmod(0o755)
        shutil.copytree(servable, temporary, dirs_exist_ok=True)
        manifest = manifest_of(temporary)
        artifact = Artifact(uri=target.as_uri(), digest=manifest_digest(manifest))
        record = msgspec.structs.replace(record, artifact=artifact)
        (temporary / EXTRA).mkdir(exist_ok=True)
        (temporary / MANIFEST).write_bytes(manifest)
        (temporary / RECORD).write_bytes(encode(record))
        _sync_tree(temporary)
        temporary.rename(target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    _sync(target.parent)
    return record


def _is_version(folder: Path) -> bool:
    return folder.name.isdecimal() and (folder / RECORD).is_file()


def _sync_tree(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.chmod(_FILE_MODE)
        _sync(path)
    _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    with file.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
