"""The files that browsers load, each with its origin, licence and SHA-256; nothing is fetched.

A test compares the checksums. Names carry the version, so a browser may keep a file for ever.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "assets"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """A file of another project."""

    file: str
    package: str
    """npm package and version that it comes from, with the path inside."""
    licence: str
    """SPDX name; the text is in `assets/licences`."""
    sha256: str


FOREIGN = (
    Asset(
        file="htmx-2.0.11.min.js",
        package="htmx.org@2.0.11 dist/htmx.min.js",
        licence="0BSD",
        sha256="d6fdc75f204e6bdefa99b69bf1e6d4ac69b8a364f77929f45c13476b4000f717",
    ),
    Asset(
        file="htmx-sse-2.2.4.min.js",
        package="htmx-ext-sse@2.2.4 dist/sse.min.js",
        licence="0BSD",
        sha256="98a46496de0c3605fbffdce9167ba427bdd9553184f83f149c261891a92c0136",
    ),
    Asset(
        file="idiomorph-0.8.0.min.js",
        package="idiomorph@0.8.0 dist/idiomorph-ext.min.js",
        licence="0BSD",
        sha256="5811b9a7eda14878b7dab4378bf60432e1bb6f11fcfb970cc26540642650181e",
    ),
    Asset(
        file="pico-2.1.1.min.css",
        package="@picocss/pico@2.1.1 css/pico.min.css",
        licence="MIT",
        sha256="fbc9a63fc9fc9f72d12fd7fc9806e11fa9f77ae4f9cad146b27003a1119ba3db",
    ),
    Asset(
        file="inter-5.3.0.woff2",
        package="@fontsource-variable/inter@5.3.0 files/inter-latin-wght-normal.woff2",
        licence="OFL-1.1",
        sha256="3100e775e8616cd2611beecfa23a4263d7037586789b43f035236a2e6fbd4c62",
    ),
)
OWN = ("console.css", "console.js")
"""Our own files; their address carries a digest of their content."""
MEDIA_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".woff2": "font/woff2",
}


def _digest(name: str) -> str:
    return hashlib.sha256((FOLDER / name).read_bytes()).hexdigest()[:12]


ASSETS: dict[str, str] = {
    **{asset.file.partition("-")[0]: f"/assets/{asset.file}" for asset in FOREIGN},
    "htmx_sse": "/assets/htmx-sse-2.2.4.min.js",
    "htmx": "/assets/htmx-2.0.11.min.js",
    **{name.replace(".", "_"): f"/assets/{name}?v={_digest(name)}" for name in OWN},
}
"""Address of each file by a short name."""
FILES = frozenset({*(asset.file for asset in FOREIGN), *OWN})
