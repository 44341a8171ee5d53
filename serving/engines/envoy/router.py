"""The traffic router on Envoy: written through watched files, read through the admin page.

Files are replaced by rename, which Envoy notices within milliseconds. Envoy keeps its last valid
configuration when a file is invalid, so a split is active only when Envoy itself reports it.
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
from serving.ports import ALL_STABLE, TrafficSplit
from streaming.contracts.errors import UnavailableError


def write_bootstrap(folder: Path, layout: EnvoyLayout) -> Path:
    """Write Envoy's start-up files and return the path for ``envoy -c``.

    An existing route file is kept, so that a restart of Envoy does not change the split.
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


def write_split(folder: Path, layout: EnvoyLayout, split: TrafficSplit) -> None:
    """Replace the route file; Envoy applies it within about 10 ms."""
    _replace(folder / "rds.json", discovery(split_text(split), routes(layout, split)))


class EnvoyRouter:
    """The port `TrafficRouter` on a running Envoy.

    Parameters
    ----------
    folder:
        The folder written by `write_bootstrap`.
    layout:
        The layout passed to `write_bootstrap`.
    """

    def __init__(self, folder: Path, layout: EnvoyLayout) -> None:
        self._folder = folder.resolve()
        self._layout = layout
        self._client = httpx.Client(
            base_url=f"http://{layout.admin_host}:{layout.admin_port}", timeout=1.0
        )

    def apply(self, split: TrafficSplit) -> None:
        try:
            write_split(self._folder, self._layout, split)
        except OSError as error:
            raise UnavailableError(f"The route file cannot be written: {error}.") from error

    def current_split(self) -> TrafficSplit:
        return read_split(self._route_version())

    def close(self) -> None:
        """Close the admin connection."""
        self._client.close()

    def _route_version(self) -> str:
        path = "/config_dump?resource=dynamic_route_configs"
        try:
            response = self._client.get(path)
            response.raise_for_status()
            configs: list[dict[str, Any]] = response.json().get("configs", [])
        except (httpx.HTTPError, ValueError) as error:
            raise UnavailableError(
                f"Envoy's admin page at {self._client.base_url} does not answer: {error}."
            ) from error
        if not configs:
            raise UnavailableError("Envoy has no routes yet.", delay_seconds=0.2)
        return str(configs[0].get("version_info", ""))


def _replace(path: Path, content: Json) -> None:
    """Replace a file atomically: write a temporary file, sync it, and rename it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w") as file:
        json.dump(content, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
