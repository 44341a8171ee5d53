"""A version is loaded only with the bytes that were judged."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from retrain.engines.model_store import MANIFEST, RECORD, FolderStore
from serving.engines.modelserver.admission import Admission, Manifests
from serving.engines.modelserver.codes import Code, Refused
from serving.engines.modelserver.version_files import is_at_rest, stamp_of
from tests.retrain.engines.test_model_store import record
from tests.serving.engines.modelserver.graphs import Graph


def _servable(folder: Path) -> Path:
    Graph().node("Const", "y").signature("y:0").write(folder)
    (folder / "variables").mkdir()
    (folder / "variables" / "variables.index").write_bytes(b"weights")
    (folder / "assets").mkdir()
    (folder / "assets" / "words.txt").write_bytes(b"cash\ncard\n")
    return folder


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A version as the retrain worker publishes it."""
    store = FolderStore(tmp_path / "models")
    store.publish(record(1, "r1"), _servable(tmp_path / "servable"))
    return store.path("taxi", 1)


def _load(folder: Path, admission: Admission | None = None) -> str:
    return (admission or Admission()).load(folder, lambda path: f"loaded {path.name}")


def _refused(folder: Path, admission: Admission | None = None) -> Refused:
    with pytest.raises(Refused) as refused:
        _load(folder, admission)
    return refused.value


def test_a_published_version_is_loaded_and_nobody_may_write_its_files(published: Path) -> None:
    for manifests in get_args(Manifests):
        assert _load(published, Admission(manifests=manifests)) == "loaded 1"
    files = [path for path in published.rglob("*") if path.is_file()]
    assert {oct(path.stat().st_mode & 0o777) for path in files} == {"0o444"}


def _edit(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        file = folder / name
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.chmod(0o644)
        file.write_bytes(content)

    return change


def _edit_manifest_too(folder: Path) -> None:
    """Change a file and write the manifest that fits: the record has another digest."""
    from streaming.contracts.model_manifest import manifest_of

    _edit("assets/words.txt")(folder)
    (folder / MANIFEST).chmod(0o644)
    (folder / MANIFEST).write_bytes(manifest_of(folder))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(_edit("saved_model.pb"), id="graph"),
        pytest.param(_edit("variables/variables.index"), id="weights"),
        pytest.param(_edit("assets/words.txt"), id="asset"),
        pytest.param(_edit(MANIFEST), id="manifest"),
        pytest.param(_edit_manifest_too, id="file and manifest"),
        pytest.param(lambda folder: (folder / "assets" / "more").touch(), id="added"),
        pytest.param(lambda folder: (folder / "assets.extra" / "more").touch(), id="added extra"),
        pytest.param(lambda folder: (folder / "assets" / "words.txt").unlink(), id="removed"),
        pytest.param(lambda folder: (folder / MANIFEST).unlink(), id="no manifest"),
        pytest.param(lambda folder: (folder / RECORD).unlink(), id="no record"),
        pytest.param(
            lambda folder: ((folder / RECORD).unlink(), (folder / RECORD).write_bytes(b"{")),
            id="damaged record",
        ),
        pytest.param(
            lambda folder: os.rename(folder / "assets/words.txt", folder / "assets/word.txt"),
            id="renamed",
        ),
    ],
)
def test_a_version_with_other_bytes_is_not_loaded(
    published: Path, change: Callable[[Path], None]
) -> None:
    change(published)
    refused = _refused(published)
    assert refused.code is Code.DATA_LOSS
    assert "not those that were judged" in refused.message


def test_without_a_manifest_a_version_is_loaded_only_where_that_is_allowed(
    tmp_path: Path, published: Path
) -> None:
    alone = _servable(tmp_path / "alone" / "1")
    beside = _servable(published.parent / "2")
    assert _load(alone) == "loaded 1"
    assert _load(alone, Admission(manifests="store")) == "loaded 1"
    assert _load(beside) == "loaded 2"
    for folder, admission in (
        (alone, Admission(manifests="required")),
        (beside, Admission(manifests="store")),
    ):
        refused = _refused(folder, admission)
        assert refused.code is Code.FAILED_PRECONDITION
        assert "has no manifest" in refused.message


def test_a_version_that_changes_while_it_is_loaded_is_given_up(published: Path) -> None:
    closed = []

    class Model:
        def close(self) -> None:
            closed.append(True)

    def load(folder: Path) -> Model:
        file = folder / "assets" / "words.txt"
        file.rename(folder / "away")
        shutil.copy(folder / "away", file)
        (folder / "away").unlink()
        return Model()

    with pytest.raises(Refused, match="changed while they were loaded"):
        Admission().load(published, load)
    assert closed


def _link(name: str, target: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).symlink_to(target)


def _socket(folder: Path) -> None:
    working_folder = os.getcwd()
    os.chdir(folder)  # the path of a socket has at most 108 bytes
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("assets/socket")
    finally:
        os.chdir(working_folder)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(_link("assets/passwd", "/etc/passwd"), id="link to a file outside"),
        pytest.param(_link("assets/etc", "/etc"), id="link to a folder outside"),
        pytest.param(_link("assets/loop", "loop"), id="loop"),
        pytest.param(_link("assets/up", "../.."), id="link to the parent"),
        pytest.param(lambda folder: os.mkfifo(folder / "assets" / "pipe"), id="pipe"),
        pytest.param(_socket, id="socket"),
    ],
)
def test_files_that_are_not_the_versions_own_are_refused(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    folder = _servable(tmp_path / "base" / "1")
    assert _load(folder) == "loaded 1"
    change(folder)
    assert _refused(folder).code is Code.PERMISSION_DENIED


def test_a_version_may_be_a_link_and_have_links_inside(tmp_path: Path) -> None:
    folder = _servable(tmp_path / "elsewhere")
    (folder / "assets" / "same.txt").symlink_to("words.txt")
    (tmp_path / "1").symlink_to(folder)
    assert _load(tmp_path / "1") == "loaded 1"


def test_files_are_at_rest_a_while_after_their_last_change(tmp_path: Path, published: Path) -> None:
    folder = _servable(tmp_path / "1")
    assert not is_at_rest(folder, stamp_of(folder), 60.0)
    assert is_at_rest(folder, stamp_of(folder), 0.0)
    assert is_at_rest(published, stamp_of(published), 60.0), "a manifest shows that it is whole"
    assert is_at_rest(tmp_path / "none", stamp_of(tmp_path / "none"), 60.0)


@pytest.mark.parametrize(
    "change",
    [
        lambda file: file.write_bytes(b"longer than before"),
        lambda file: os.utime(file, ns=(1, 1)),
        lambda file: file.unlink(),
        lambda file: (file.parent / "more").touch(),
        lambda file: file.chmod(0o600),
        lambda file: os.replace(shutil.copy2(file, file.parent / "copy"), file),
    ],
)
def test_every_change_of_a_file_changes_the_stamp(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    folder = _servable(tmp_path / "1")
    before = stamp_of(folder)
    assert stamp_of(folder) == before
    change(folder / "assets" / "words.txt")
    assert stamp_of(folder).value != before.value
