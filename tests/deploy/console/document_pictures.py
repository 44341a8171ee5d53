"""The console's pictures in the documents: `python -m tests.deploy.console.document_pictures`."""

from __future__ import annotations

import io
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import TYPE_CHECKING

from deploy.config.paths import PROJECT
from tests.deploy.console import chromium, scenario
from tests.deploy.console.served import LOAD_PICTURES, Served, serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser

FOLDER = PROJECT / "docs" / "console"
WIDTH = 1200
HEIGHTS: Mapping[str, int] = MappingProxyType({"overview": 1160, "model": 1330, "decision": 1050})
"""The pictures by name, each with its height in pixels."""
MAX_BYTES = 150_000


def make(browser: Browser, served: Served, folder: Path) -> None:
    """Write every picture into a folder, as WebP."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    paths = {
        "overview": "/",
        "model": f"/models/{scenario.MODEL}",
        "decision": f"/approvals/{served.request().record_id}",
    }
    for name, height in HEIGHTS.items():
        page = served.open(
            browser,
            paths[name],
            color_scheme="light",
            viewport={"width": WIDTH, "height": height},
        )
        page.evaluate(LOAD_PICTURES)
        shot = Image.open(io.BytesIO(page.screenshot()))
        shot.convert("RGB").save(folder / f"{name}.webp", quality=80, method=6)
        page.context.close()


def main() -> None:
    """Write the pictures of the documents."""
    with (
        TemporaryDirectory() as folder,
        chromium.chromium() as browser,
        contextmanager(serving)(Path(folder)) as served,
    ):
        make(browser, served, FOLDER)


if __name__ == "__main__":
    main()
