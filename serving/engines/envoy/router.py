"""The traffic router on Envoy: written through watched files, read through the admin page.

Files are replaced by rename, which Envoy notices within milliseconds. Envoy keeps its last valid
configuration when a file is invalid, so a split is active only when Envoy itself reports it.

Envoy has one route file for all models. Each model's routes are kept in a file of their own
(`models/NAME.json`), written by nobody but its router; the route file is put together from them
under a lock, so rollouts of several models never undo each other's splits.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from serving.engines.envoy.clusters import clusters
from serving.engines.envoy.config import (
    CLUSTERS,
    EnvoyLayout,
    Json,
    bootstrap,
    discovery,
    listeners,
    read_split,
    split_text,
)
from serving.engines.envoy.health import HEALTHY_HOSTS, read_health
from serving.engines.envoy.names import model_in_names
from serving.engines.envoy.routes import model_routes, retry_policy, route_configuration
from serving.engines.shared_read import SharedRead, request_within
from serving.ports import ALL_STABLE, Role, TrafficSplit
from streaming.contracts.errors import ConfigurationError, UnavailableError

ADMIN_SECONDS = 0.5
"""Envoy's admin page answers within this time or is not waited for."""


def write_bootstrap(folder: Path, layouts: Sequence[EnvoyLayout]) -> Path:
    """Write Envoy's start-up files and return the path for ``envoy -c``.

    The routes of models that were there before are kept, so a restart of Envoy changes no split. A
    running Envoy takes up models that were added or removed.

    Parameters
    ----------
    folder:
        The folder that Envoy watches.
    layouts:
        Every model; the addresses of Envoy itself are those of the first.
    """
    folder = folder.resolve()
    for name in (_MODELS, CLUSTERS):
        (folder / name).mkdir(parents=True, exist_ok=True)
    first, names = layouts[0], {_file_name(layout) for layout in layouts}
    _replace(
        folder / CLUSTERS / "cds.json",
        discovery("1", [cluster for layout in layouts for cluster in clusters(layout)]),
    )
    _replace(folder / CLUSTERS / "lds.json", discovery("1", listeners(first, str(folder))))
    with _Lock(folder):
        for file in (folder / _MODELS).glob("*.json"):
            if file.name not in names:
                file.unlink()
        for number, layout in enumerate(layouts):
            file = folder / _MODELS / _file_name(layout)
            _replace(file, _routes_of(layout, _kept_split(file), place=number))
        _write_routes(folder)
    path = folder / "bootstrap.json"
    _replace(path, bootstrap(first, str(folder)))
    return path


def write_split(folder: Path, layout: EnvoyLayout, split: TrafficSplit) -> None:
    """Replace a model's routes; Envoy applies them within about 10 ms."""
    with _Lock(folder):
        file = folder / _MODELS / _file_name(layout)
        place = _read(file)["place"] if file.exists() else 0
        _replace(file, _routes_of(layout, split, place=place))
        _write_routes(folder)


_MODELS = "models"
_KEPT = ("model", "place", "split", "routes", "retries")


def _file_name(layout: EnvoyLayout) -> str:
    return f"{model_in_names(layout.model)}.json"


def _routes_of(layout: EnvoyLayout, split: TrafficSplit, *, place: int) -> Json:
    """What is kept of a model: its place among the models, its split, its routes."""
    return {
        "model": layout.model,
        "place": place,
        "split": split_text(split),
        "routes": model_routes(layout, split),
        "retries": retry_policy(layout),
    }


def _write_routes(folder: Path) -> None:
    """Put the route file together; its version says the split of each model."""
    kept = sorted((_read(file) for file in (folder / _MODELS).glob("*.json")), key=_place)
    version = json.dumps({entry["model"]: entry["split"] for entry in kept})
    routes_of = {entry["model"]: entry["routes"] for entry in kept}
    routes = route_configuration(routes_of, kept[0]["retries"])
    _replace(folder / "rds.json", discovery(version, [routes]))


def _kept_split(file: Path) -> TrafficSplit:
    """The split of an earlier start; all to stable where there is none, or somebody broke it."""
    try:
        return read_split(str(json.loads(file.read_bytes())["split"]))
    except (OSError, ValueError, KeyError, TypeError, ConfigurationError):
        return ALL_STABLE


def _place(entry: Json) -> tuple[int, str]:
    return entry["place"], entry["model"]


def _read(file: Path) -> Json:
    try:
        content = json.loads(file.read_bytes())
        return {name: content[name] for name in _KEPT}
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"{file} is not what Driftline wrote there ({error!r}). Run `driftline up`, "
            "which writes it again; until then no split can change."
        ) from error


class _Lock:
    """One writer at a time, of all threads and processes."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / ".lock"

    def __enter__(self) -> None:
        self._file = self._path.open("w")
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def __exit__(self, *error: object) -> None:
        self._file.close()


class EnvoyRouter:
    """The port `TrafficRouter` on a running Envoy.

    Parameters
    ----------
    folder:
        The folder written by `write_bootstrap`.
    layout:
        The layout passed to `write_bootstrap`.
    shared:
        Reads of Envoy's routes that several models share; by default each reads for itself.
    """

    def __init__(
        self, folder: Path, layout: EnvoyLayout, *, shared: SharedRead[str] | None = None
    ) -> None:
        self._shared = shared
        self._folder = folder.resolve()
        self._layout = layout
        self._client = httpx.Client(
            base_url=f"http://{layout.admin_host}:{layout.admin_port}", timeout=ADMIN_SECONDS
        )

    def apply(self, split: TrafficSplit) -> None:
        try:
            write_split(self._folder, self._layout, split)
        except OSError as error:
            raise UnavailableError(f"The route file cannot be written: {error}.") from error

    def current_split(self) -> TrafficSplit:
        if self._shared is None:
            version = self._route_version()
        else:
            version = self._shared.get(str(self._client.base_url), self._route_version)
        try:
            return read_split(str(json.loads(version)[self._layout.model]))
        except (ValueError, KeyError, TypeError) as error:
            raise UnavailableError(
                f"Envoy has no routes of {self._layout.model} yet; its routes are {version!r}.",
                delay_seconds=0.2,
            ) from error

    def healthy_servers(self) -> tuple[Role, ...]:
        if self._shared is None:
            text = self._health()
        else:
            text = self._shared.get((str(self._client.base_url), "health"), self._health)
        return read_health(text, self._layout.model)

    def close(self) -> None:
        """Close the admin connection."""
        self._client.close()

    def _route_version(self) -> str:
        body = self._admin("/config_dump?resource=dynamic_route_configs&mask=version_info")
        try:
            configs: list[dict[str, Any]] = json.loads(body).get("configs", [])
        except ValueError as error:
            raise self._silent(error) from error
        if not configs:
            raise UnavailableError("Envoy has no routes yet.", delay_seconds=0.2)
        return str(configs[0].get("version_info", ""))

    def _health(self) -> str:
        """The healthy hosts of the servers' clusters of all models, one cluster a line."""
        return self._admin(f"/stats?type=Gauges&filter={HEALTHY_HOSTS}").decode()

    def _admin(self, path: str) -> bytes:
        try:
            return request_within(self._client, "GET", path, seconds=ADMIN_SECONDS)
        except (httpx.HTTPError, ValueError) as error:
            raise self._silent(error) from error

    def _silent(self, error: Exception) -> UnavailableError:
        return UnavailableError(
            f"Envoy's admin page at {self._client.base_url} does not answer: {error}."
        )


def shared_reads(layout: EnvoyLayout) -> SharedRead[str]:
    """The reads that several routers share. Envoy copies the routes of all models for each one
    (measured with 50 models: 6.5 ms of its CPU time)."""
    url = f"http://{layout.admin_host}:{layout.admin_port}"
    return SharedRead(f"Envoy's admin page at {url}", wait_seconds=ADMIN_SECONDS + 0.2)


def _replace(path: Path, content: Json) -> None:
    """Replace a file atomically: write a temporary file, sync it, and rename it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w") as file:
        file.write(json.dumps(content))
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
