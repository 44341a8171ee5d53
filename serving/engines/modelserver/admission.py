"""What a version must fulfil before it is loaded: its own files, the judged bytes, a safe graph.

A version with a manifest must have exactly the files of its manifest, and the manifest that its
record names. A version without one is loaded only where `Admission.manifests` allows it. The graph
is checked in both cases (`graph_check`).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from serving.engines.modelserver.codes import Code, Refused
from serving.engines.modelserver.graph_check import check_graph
from serving.engines.modelserver.policy import versions_on_disk
from serving.engines.modelserver.version_files import check_files, has_manifest, stamp_of
from streaming.contracts.model_manifest import MANIFEST, RECORD, manifest_digest, manifest_of

Manifests = Literal["optional", "store", "required"]
"""optional: a version without a manifest is loaded. store: not where another version of the model
has one. required: never."""

Model = TypeVar("Model")


class _Artifact(msgspec.Struct):
    digest: str


class _Record(msgspec.Struct):
    """The part of the version's record that is compared."""

    artifact: _Artifact


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Which versions are loaded."""

    manifests: Manifests = "optional"
    also_allowed: frozenset[str] = frozenset()
    """Operations that a graph may contain beside `operations.ALLOWED`."""

    def load(self, folder: Path, load: Callable[[Path], Model]) -> Model:
        """Check a version, load it, and make sure that what was checked was loaded.

        Raises
        ------
        Refused
            PERMISSION_DENIED for an operation or a file that is not allowed, DATA_LOSS for bytes
            that are not the judged ones, FAILED_PRECONDITION without a manifest, UNAVAILABLE while
            the files change; and whatever `load` raises.
        """
        before = stamp_of(folder)
        check_files(folder)
        if not _check_manifest(folder):
            self._without_manifest(folder)
        check_graph(folder, also_allowed=self.also_allowed)
        model = load(folder)
        if stamp_of(folder).value != before.value:
            _close(model)
            raise Refused(Code.UNAVAILABLE, "The files changed while they were loaded.")
        return model

    def _without_manifest(self, folder: Path) -> None:
        siblings = versions_on_disk(folder.parent).values() if self.manifests == "store" else ()
        if self.manifests == "required" or any(map(has_manifest, siblings)):
            raise Refused(
                Code.FAILED_PRECONDITION,
                f"The version has no manifest ({MANIFEST}), so nothing shows that its files are"
                " those that were judged; publish it with the retrain worker.",
            )


def _check_manifest(folder: Path) -> bool:
    """Compare every file with the manifest, and the manifest with the record; False without one."""
    try:
        manifest = (folder / MANIFEST).read_bytes()
    except FileNotFoundError:
        if (folder / RECORD).exists():
            raise _changed(folder, f"It has a record but no {MANIFEST}.") from None
        return False
    except OSError as error:
        raise Refused(Code.UNAVAILABLE, f"The manifest cannot be read: {error}") from error
    try:
        actual = manifest_of(folder)
    except OSError as error:
        raise Refused(Code.UNAVAILABLE, f"The version cannot be read: {error}") from error
    if actual != manifest:
        raise _changed(folder, _difference(manifest, actual))
    recorded, served = _recorded_digest(folder), manifest_digest(manifest)
    if recorded != served:
        raise _changed(folder, f"Its record has digest {recorded[:12]}, its files {served[:12]}.")
    return True


def _recorded_digest(folder: Path) -> str:
    try:
        content = (folder / RECORD).read_bytes()
        return msgspec.json.decode(content, type=_Record).artifact.digest
    except (OSError, msgspec.DecodeError) as error:
        raise _changed(folder, f"Its record cannot be read: {error}.") from error


def _difference(manifest: bytes, actual: bytes) -> str:
    """The first file in which two manifests differ."""
    lines = set(manifest.splitlines()) ^ set(actual.splitlines())
    names = sorted({line.partition(b"  ")[2].decode("utf-8", "replace") for line in lines})
    return f"{names[0]!r} differs from its manifest." if names else "Its manifest was changed."


def _changed(folder: Path, what: str) -> Refused:
    return Refused(
        Code.DATA_LOSS,
        f"The files of version {folder.name} are not those that were judged, and it is not loaded."
        f" {what} Roll back and retrain.",
    )


def _close(model: Any) -> None:
    with suppress(Refused):
        model.close()
