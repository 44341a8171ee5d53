"""A folder of several workers is made once, and again when it could not be made."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.shared_folder import shared_folder


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw1")


def folders_of(worker: str, run: Path) -> pytest.TempPathFactory:
    (run / worker).mkdir(exist_ok=True)
    return pytest.TempPathFactory(run / worker, 3, "all", lambda *_: None, _ispytest=True)


@pytest.mark.usefixtures("worker")
def test_workers_share_a_folder_that_one_of_them_makes(tmp_path: Path) -> None:
    made_folders: list[Path] = []

    def folder_of(worker: int) -> Path:
        return shared_folder(folders_of(f"gw{worker}", tmp_path), "models", made_folders.append)

    with ThreadPoolExecutor(4) as workers:
        used = set(workers.map(folder_of, range(4)))
    assert used == set(made_folders)
    assert len(made_folders) == 1


@pytest.mark.usefixtures("worker")
def test_a_folder_that_could_not_be_made_is_made_by_the_next_worker(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        raise RuntimeError(folder.name)

    with pytest.raises(RuntimeError, match="models"):
        shared_folder(folders_of("gw0", tmp_path), "models", fail)
    made_folders: list[Path] = []
    assert (
        shared_folder(folders_of("gw1", tmp_path), "models", made_folders.append) == made_folders[0]
    )
