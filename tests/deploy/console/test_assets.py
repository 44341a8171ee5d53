"""Every file that a browser loads is in the package, unchanged, with its licence, and small."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

from deploy.console.assets_lock import ASSETS, FILES, FOLDER, FOREIGN
from streaming.contracts.log import MemoryLog
from tests.deploy.console.consoles import browser, console_on


def test_foreign_files_are_those_of_their_packages() -> None:
    for asset in FOREIGN:
        content = (FOLDER / asset.file).read_bytes()
        assert hashlib.sha256(content).hexdigest() == asset.sha256, asset.file


def test_each_foreign_file_has_the_text_of_its_licence() -> None:
    for asset in FOREIGN:
        name = "htmx-sse" if asset.file.startswith("htmx-sse") else asset.file.partition("-")[0]
        assert (FOLDER / "licences" / f"{name}.txt").stat().st_size > 500


def test_nothing_else_lies_in_the_folder() -> None:
    assert {file.name for file in FOLDER.iterdir() if file.is_file()} == FILES


def test_scripts_and_styles_of_a_page_are_small() -> None:
    sizes = [len(gzip.compress((FOLDER / name).read_bytes())) for name in FILES]
    assert sum(sizes) < 100_000


def test_files_are_kept_by_browsers_for_ever(tmp_path: Path) -> None:
    pages = browser(console_on(MemoryLog(), tmp_path, now=0.0))
    for address in ASSETS.values():
        response = pages.get(address)
        assert response.status_code == 200
        assert "immutable" in response.headers["cache-control"]
        assert response.headers["x-content-type-options"] == "nosniff"
