"""A payload is stored completely or not at all, and read only with the digest of its record."""

from __future__ import annotations

from pathlib import Path

import pytest

from streaming.contracts.errors import ConfigurationError, Conflict, NotFoundError
from streaming.contracts.records import Artifact
from streaming.engines.artifact_store import ArtifactStore


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts")


def test_a_stored_payload_is_read_back(store: ArtifactStore) -> None:
    artifact = store.put("a/b c.bin", b"bytes")
    assert artifact.uri.startswith("file:///")
    assert store.get(artifact) == b"bytes"


def test_changed_bytes_are_refused(store: ArtifactStore) -> None:
    artifact = store.put("a", b"bytes")
    (store.root / "a").write_bytes(b"other")
    with pytest.raises(Conflict, match="digest"):
        store.get(artifact)


def test_a_missing_file_is_not_found(store: ArtifactStore) -> None:
    artifact = store.put("a", b"bytes")
    (store.root / "a").unlink()
    with pytest.raises(NotFoundError):
        store.get(artifact)


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../x", "a/../../x"])
def test_names_outside_the_store_are_refused(store: ArtifactStore, name: str) -> None:
    with pytest.raises(ConfigurationError):
        store.put(name, b"")


@pytest.mark.parametrize(
    "uri", ["file:///etc/passwd", "http://x/y", "file://host/x", "{root}/../outside"]
)
def test_uris_outside_the_store_are_not_found(store: ArtifactStore, uri: str) -> None:
    with pytest.raises(NotFoundError):
        store.get(Artifact(uri=uri.format(root=store.root.as_uri()), digest=""))


def test_a_failed_write_leaves_nothing(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError("disk full")

    store.put("a", b"old")
    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        store.put("a", b"new")
    assert [path.name for path in store.root.iterdir()] == ["a"]
    assert (store.root / "a").read_bytes() == b"old"
