"""The model store: one suite for folder and memory, then the promises of folders alone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from retrain.engines.memory import InMemoryModelStore
from retrain.engines.model_store import MANIFEST, RECORD, FolderStore, folder_digest
from retrain.ports import ModelStore
from streaming.contracts.errors import Conflict, DecodeError, NotFoundError
from streaming.contracts.records import Artifact, ModelVersion


def record(version: int, request_id: str) -> ModelVersion:
    return ModelVersion(
        record_id=f"v{version}",
        model="taxi",
        at=1.0,
        version=version,
        request_id=request_id,
        artifact=Artifact(uri="", digest=""),
        base_version=version - 1,
        blessed=True,
        reason="Good.",
        evaluation=(),
        components=(),
        training_rows=10,
        window_start=0.0,
        window_end=1.0,
        load_seconds=0.5,
        warm_predict_seconds=0.01,
    )


@pytest.fixture
def servable(tmp_path: Path) -> Path:
    folder = tmp_path / "servable"
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"graph")
    (folder / "variables" / "variables.index").write_bytes(b"weights")
    return folder


@pytest.fixture(params=[FolderStore, lambda _: InMemoryModelStore()], ids=["folder", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ModelStore:
    factory: Callable[[Path], ModelStore] = request.param
    return factory(tmp_path / "models")


def test_an_empty_store_has_no_versions(store: ModelStore) -> None:
    assert store.versions("taxi") == ()
    assert store.of_request("taxi", "r1") is None
    with pytest.raises(NotFoundError):
        store.path("taxi", 1)


def test_a_published_version_is_found_by_number_and_request(
    store: ModelStore, servable: Path
) -> None:
    published = store.publish(record(1, "r1"), servable)
    assert store.versions("taxi") == (1,)
    assert store.of_request("taxi", "r1") == published
    assert (store.path("taxi", 1) / "saved_model.pb").read_bytes() == b"graph"
    assert published.artifact.uri.startswith("file://")
    assert len(published.artifact.digest) == 64


def test_the_same_request_publishes_once(store: ModelStore, servable: Path) -> None:
    first = store.publish(record(1, "r1"), servable)
    assert store.publish(record(2, "r1"), servable) == first
    assert store.versions("taxi") == (1,)


def test_a_number_is_used_by_one_request_only(store: ModelStore, servable: Path) -> None:
    store.publish(record(1, "r1"), servable)
    with pytest.raises(Conflict):
        store.publish(record(1, "r2"), servable)


def test_models_have_separate_versions(store: ModelStore, servable: Path) -> None:
    store.publish(record(1, "r1"), servable)
    assert store.versions("another") == ()
    assert store.of_request("another", "r1") is None


# ------------------------------------------------------------ folders only


def test_half_written_versions_are_invisible(tmp_path: Path) -> None:
    (tmp_path / "taxi" / "7").mkdir(parents=True)
    (tmp_path / "taxi" / ".8-x").mkdir()
    assert FolderStore(tmp_path).versions("taxi") == ()


def test_nothing_is_left_behind_when_publishing_fails(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "models")
    with pytest.raises(FileNotFoundError):
        store.publish(record(1, "r1"), tmp_path / "gone")
    assert [path.name for path in (tmp_path / "models" / "taxi").iterdir()] == [".lock"]


def test_the_digest_covers_the_served_files_and_is_known_before_publishing(
    tmp_path: Path, servable: Path
) -> None:
    store = FolderStore(tmp_path / "models")
    expected = folder_digest(servable)
    published = store.publish(record(1, "r1"), servable)
    assert published.artifact.digest == expected
    folder = store.path("taxi", 1)
    assert (folder / MANIFEST).is_file()
    assert (folder / RECORD).is_file()
    store.verify("taxi", 1)


@pytest.mark.parametrize("change", ["edit", "add", "remove"])
def test_a_changed_version_is_detected(tmp_path: Path, servable: Path, change: str) -> None:
    store = FolderStore(tmp_path / "models")
    store.publish(record(1, "r1"), servable)
    file = store.path("taxi", 1) / "variables" / "variables.index"
    if change == "edit":
        file.chmod(0o644)
        file.write_bytes(b"other weights")
    elif change == "add":
        file.with_name("more").write_bytes(b"")
    else:
        file.unlink()
    with pytest.raises(DecodeError, match="were changed"):
        store.verify("taxi", 1)


def test_the_artifact_does_not_depend_on_the_working_folder(
    tmp_path: Path, servable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    published = FolderStore(Path("models")).publish(record(1, "r1"), servable)
    assert published.artifact.uri == (tmp_path / "models" / "taxi" / "1").as_uri()


def test_workers_that_publish_concurrently_agree_on_one_version(
    tmp_path: Path, servable: Path
) -> None:
    published: list[ModelVersion] = []

    def publish(number: int) -> None:
        store = FolderStore(tmp_path / "models")
        published.append(store.publish(replace(record(number, "r1"), record_id="same"), servable))

    threads = [threading.Thread(target=publish, args=(number,)) for number in (1, 2, 3, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({record.version for record in published}) == 1
    assert len(FolderStore(tmp_path / "models").versions("taxi")) == 1


def test_a_removed_version_is_gone_at_once_and_its_neighbours_stay(
    tmp_path: Path, servable: Path
) -> None:
    store = FolderStore(tmp_path / "models")
    for number in (1, 2):
        store.publish(record(number, f"r{number}"), servable)
    store.remove("taxi", 1)
    store.remove("taxi", 1)
    store.remove("bus", 1)
    assert store.versions("taxi") == (2,)
    assert not [*(tmp_path / "models" / "taxi").glob(".removed*")]


def test_a_version_that_goes_while_versions_are_read_disturbs_nobody(
    tmp_path: Path, servable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FolderStore(tmp_path / "models")
    kept = store.publish(record(1, "r1"), servable)
    monkeypatch.setattr(FolderStore, "versions", lambda self, model: (1, 2))
    assert store.of_request("taxi", "r1") == kept
    assert store.of_request("taxi", "r2") is None
