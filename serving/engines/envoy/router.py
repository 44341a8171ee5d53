"""The splitter as a real Envoy: watched files in, admin page out.

Files are replaced by rename, which Envoy sees within milliseconds. It keeps its last good
configuration when a file is bad, so a split counts as live only when Envoy itself says so.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import httpx

from serving.engines.envoy.clusters import clusters
from serving.engines.envoy.config import (
    EnvoyLayout,
    Json,
    bootstrap,
    discovery,
    listeners,
    read_split,
    routes,
    split_text,
)
from serving.ports import ALL_STABLE, Split
from streaming.contracts.errors import UnavailableError


def write_bootstrap(folder: Path, layout: EnvoyLayout) -> Path:
    """Write all that Envoy starts with and return the path for ``envoy -c``.

    An existing route file is kept, so that a restart of Envoy does not move traffic.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    _replace(folder / "cds.json", discovery("1", clusters(layout)))
    _replace(folder / "lds.json", discovery("1", listeners(layout, str(folder))))
    if not (folder / "rds.json").exists():
        write_split(folder, layout, ALL_STABLE)
    path = folder / "bootstrap.json"
    _replace(path, bootstrap(layout, str(folder)))
    return path


def write_split(folder: Path, layout: EnvoyLayout, split: Split) -> None:
    """Replace the route file; Envoy takes it over within about 10 ms."""
    _replace(folder / "rds.json", discovery(split_text(split), routes(layout, split)))


class EnvoySplitter:
    """The port `Splitter` on a running Envoy.

    Parameters
    ----------
    folder:
        The folder that `write_bootstrap` filled.
    layout:
        The same layout.
    """

    def __init__(self, folder: Path, layout: EnvoyLayout) -> None:
        self._folder = folder.resolve()
        self._layout = layout
        self._client = httpx.Client(
            base_url=f"http://{layout.admin_host}:{layout.admin_port}", timeout=1.0
        )

    def apply(self, split: Split) -> None:
        try:
            write_split(self._folder, self._layout, split)
        except OSError as error:
            raise UnavailableError(f"The route file cannot be written: {error}.") from error

    def live(self) -> Split:
        return read_split(self._route_version())

    def close(self) -> None:
        """Let go of the admin connection."""
        self._client.close()

    def _route_version(self) -> str:
        path = "/config_dump?resource=dynamic_route_configs"
        try:
            answer = self._client.get(path)
            answer.raise_for_status()
            found: list[dict[str, Any]] = answer.json().get("configs", [])
        except (httpx.HTTPError, ValueError) as error:
            raise UnavailableError(
                f"Envoy's admin page at {self._client.base_url} does not answer: {error}."
            ) from error
        if not found:
            raise UnavailableError("Envoy has no routes yet.", delay_seconds=0.2)
        return str(found[0].get("version_info", ""))


def _replace(path: Path, content: Json) -> None:
    """Write beside it, make it durable, rename: a reader sees the old file or the new one."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with beside.open("w") as file:
        json.dump(content, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    beside.rename(path)
