"""The files of a version as they are now: every byte counts, and unchanged ones are not read."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from deploy.daemon.stored_files import StoredFiles
from retrain.engines.model_store import FolderStore
from streaming.contracts.model_manifest import manifest_of
from streaming.contracts.records import Artifact, ModelVersion
from tests.serving.rollout_simulation import version


@pytest.fixture
def published(tmp_path: Path) -> ModelVersion:
    """A version in a store, as the worker publishes it; the path needs quoting in a URI."""
    servable = tmp_path / "servable"
    (servable / "variables").mkdir(parents=True)
    (servable / "saved_model.pb").write_bytes(b"graph")
    (servable / "variables" / "data").write_bytes(b"weights")
    return FolderStore(tmp_path / "a store").publish(version(2), servable)


def folder(record: ModelVersion, tmp_path: Path) -> Path:
    return tmp_path / "a store" / record.model / str(record.version)


def test_the_digest_is_the_published_one_until_a_byte_changes(
    published: ModelVersion, tmp_path: Path
) -> None:
    files = StoredFiles()
    assert files.digest(published) == published.artifact.digest
    weights = folder(published, tmp_path) / "variables" / "data"
    weights.chmod(0o644)
    weights.write_bytes(b"weightz")
    changed = files.digest(published)
    assert changed not in (None, published.artifact.digest)
    weights.write_bytes(b"weights")
    assert files.digest(published) == published.artifact.digest
    (folder(published, tmp_path) / "more").write_bytes(b"")
    assert files.digest(published) != published.artifact.digest


def test_unchanged_files_are_read_once(
    published: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []

    def counted(folder: Path) -> bytes:
        read.append(folder)
        return manifest_of(folder)

    monkeypatch.setattr("deploy.daemon.stored_files.manifest_of", counted)
    files = StoredFiles()
    for _ in range(3):
        files.digest(published)
    assert len(read) == 1


@pytest.mark.parametrize("uri", ["", "memory:2", "s3://bucket/2", "file:///nowhere/2"])
def test_files_that_are_not_in_reach_are_not_known(uri: str) -> None:
    record = replace(version(2), artifact=Artifact(uri=uri, digest="digest-2"))
    assert StoredFiles().digest(record) is None
