"""Versions are loaded and unloaded in the background; no request ever loses its model."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from serving.engines.modelserver import versions as versions_module
from serving.engines.modelserver.codes import Code, Refused
from serving.engines.modelserver.policy import Policy, is_version, read_policy, versions_on_disk
from serving.engines.modelserver.saved_model import SavedModel
from serving.engines.modelserver.states import State
from serving.engines.modelserver.versions import Versions
from streaming.contracts.errors import ConfigurationError
from tests.waiting import wait_for


class FakeModel:
    """A model that records whether it was closed."""

    def __init__(self, path: Path) -> None:
        if (path / "broken").exists():
            raise Refused(Code.INTERNAL, "deliberately broken")
        if (path / "half").exists() and not (path / "variables" / "data").exists():
            raise Refused(Code.NOT_FOUND, "half-copied")
        self.path, self.closed = path, False

    def close(self) -> None:
        self.closed = True


def _write(base: Path, version: int) -> Path:
    folder = base / str(version)
    folder.mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"")
    return folder


def _states(versions: Versions) -> dict[int, State]:
    return {entry.version: entry.state for entry in versions.status(None)}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    for version in (1, 2, 3):
        _write(tmp_path, version)
    (tmp_path / "notes").mkdir()
    return tmp_path


@pytest.fixture
def versions(base: Path) -> Iterator[Versions]:
    def load(path: Path) -> SavedModel:
        return cast(SavedModel, FakeModel(path))

    running = Versions("m", base, load, poll_seconds=0.02, quiet_seconds=0.0)
    yield running
    running.stop()


def test_the_newest_version_is_served_and_a_newer_one_replaces_it(
    versions: Versions, base: Path
) -> None:
    versions.start(Policy(latest=1), wait_seconds=5)
    with versions.hold(None, "") as (version, _):
        assert version == 3
    _write(base, 4)
    wait_for(lambda: _states(versions) == {4: State.AVAILABLE, 3: State.END})


def test_without_versions_every_request_is_refused(versions: Versions) -> None:
    versions.start(Policy(), wait_seconds=5)
    with pytest.raises(Refused, match=r"Servable not found for request: Latest\(m\)") as refused:
        versions.hold(None, "").__enter__()
    assert refused.value.code is Code.NOT_FOUND
    with pytest.raises(Refused, match="Could not find any versions of model m"):
        versions.status(None)


def test_an_old_version_ends_after_its_last_request(versions: Versions) -> None:
    versions.start(Policy(specific=(1,)), wait_seconds=5)
    with versions.hold(1, "") as (_, model):
        versions.set_policy(Policy(specific=(2,)))
        wait_for(lambda: _states(versions) == {2: State.AVAILABLE, 1: State.UNLOADING})
        assert not cast(FakeModel, model).closed
        with pytest.raises(Refused, match=r"Specific\(m, 1\)"):
            versions.hold(1, "").__enter__()
    wait_for(lambda: cast(FakeModel, model).closed)
    wait_for(lambda: _states(versions)[1] is State.END)


def test_a_broken_version_does_not_replace_the_old_one(versions: Versions, base: Path) -> None:
    versions.start(Policy(specific=(1,)), wait_seconds=5)
    (base / "2" / "broken").touch()
    versions.set_policy(Policy(specific=(2,)))
    wait_for(lambda: _states(versions).get(2) is State.END)
    entry = versions.status(2)[0]
    assert (entry.code, entry.message) == (Code.INTERNAL, "deliberately broken")
    assert _states(versions)[1] is State.AVAILABLE
    (base / "2" / "broken").unlink()
    versions.set_policy(Policy(specific=(2,)))
    wait_for(lambda: _states(versions) == {2: State.AVAILABLE, 1: State.END})


def test_a_half_copied_version_is_loaded_once_it_is_whole(versions: Versions, base: Path) -> None:
    versions.start(Policy(latest=1), wait_seconds=5)
    folder = base / "4"
    folder.mkdir()
    (folder / "half").touch()
    (folder / "saved_model.pb").write_bytes(b"")
    wait_for(lambda: _states(versions).get(4) is State.END)
    with versions.hold(None, "") as (version, _):
        assert version == 3
    (folder / "variables").mkdir()
    (folder / "variables" / "data").write_bytes(b"1")
    wait_for(lambda: _states(versions) == {4: State.AVAILABLE, 3: State.END})


@pytest.mark.parametrize(
    "name", [str(2**63), "9" * 5000, "1" * 200, "٣", "-1", "1.5", "0x10", " 7", "7 "]
)
def test_a_folder_that_is_no_version_is_passed_over(tmp_path: Path, name: str) -> None:
    _write(tmp_path, 1)
    if len(name) < 256:
        (tmp_path / name).mkdir()
        (tmp_path / name / "saved_model.pb").touch()
    assert not is_version(name)
    assert list(versions_on_disk(tmp_path)) == [1]


def test_the_largest_version_is_one(tmp_path: Path) -> None:
    _write(tmp_path, 2**63 - 1)
    (tmp_path / "007").mkdir()
    (tmp_path / "007" / "saved_model.pb").touch()
    assert sorted(versions_on_disk(tmp_path)) == [7, 2**63 - 1]


def test_a_base_path_that_turns_bad_keeps_the_loaded_version(
    versions: Versions, base: Path
) -> None:
    versions.start(Policy(latest=1), wait_seconds=5)
    kept = base.with_name("kept")
    base.rename(kept)
    base.write_bytes(b"a file")
    versions.set_policy(Policy(latest=1))
    with versions.hold(None, "") as (version, _):
        assert version == 3
    base.unlink()
    kept.rename(base)
    _write(base, 4)
    wait_for(lambda: _states(versions).get(4) is State.AVAILABLE)


def test_an_unexpected_error_does_not_end_the_loading(
    versions: Versions, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions.start(Policy(latest=1), wait_seconds=5)
    failed = threading.Event()

    def fail(path: Path) -> dict[int, Path]:
        failed.set()
        raise RuntimeError(f"cannot read {path}")

    monkeypatch.setattr(versions_module, "versions_on_disk", fail)
    assert failed.wait(5)
    monkeypatch.undo()
    _write(base, 4)
    wait_for(lambda: _states(versions).get(4) is State.AVAILABLE)


def test_labels_point_only_at_available_versions(versions: Versions) -> None:
    versions.start(Policy(specific=(1, 2)), wait_seconds=5)
    versions.set_labels({"stable": 1})
    with versions.hold(None, "stable") as (version, _):
        assert version == 1
    with pytest.raises(Refused, match="not currently available for inference") as refused:
        versions.check_labels({"stable": 3})
    assert refused.value.code is Code.FAILED_PRECONDITION
    with pytest.raises(Refused, match="Unrecognized servable version label: canary"):
        versions.hold(None, "canary").__enter__()


def test_no_request_fails_while_versions_change(versions: Versions) -> None:
    versions.start(Policy(specific=(1,)), wait_seconds=5)
    stop, served, failures = threading.Event(), [0], list[str]()

    def send_requests() -> None:
        while not stop.is_set():
            try:
                with versions.hold(None, "") as (_, model):
                    if cast(FakeModel, model).closed:
                        failures.append("closed while held")
                    served[0] += 1
            except Refused as refused:
                failures.append(refused.message)

    threads = [threading.Thread(target=send_requests) for _ in range(3)]
    for thread in threads:
        thread.start()
    for index in range(12):
        requested = 1 + index % 3
        versions.set_policy(Policy(specific=(requested,)))
        wait_for(lambda requested=requested: _states(versions).get(requested) is State.AVAILABLE)  # type: ignore[misc]
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures
    assert served[0] > 100


def test_the_versions_flag_is_parsed_or_refused() -> None:
    assert read_policy("latest") == Policy(latest=1)
    assert read_policy("none") == Policy()
    with pytest.raises(ConfigurationError, match="expected latest, none or version numbers"):
        read_policy("newest")
