"""Envoy's configuration as data: the layout of a model, the bootstrap file, the listener.

One Envoy with one listener serves every model of a deployment. Each model has servers, clusters
(`clusters.py`) and routes (`routes.py`) of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from serving.engines.envoy.experiment_routes import (
    experiment_text,
    read_experiment,
)
from serving.ports import Role, TrafficSplit
from serving.rules import LATENCY_EDGES_MS
from serving.slice_rules import NO_SLICES, SliceRules
from streaming.contracts.errors import ConfigurationError

Json = dict[str, Any]

SPLIT_HEADER = "x-driftline-version"
MODEL_HEADER = "x-driftline-model"
"""Metadata by which a gRPC client chooses the model: Envoy does not see the one in the message."""

LABEL_HEADER = "x-driftline-label"
"""Metadata by which a gRPC client chooses a label."""

CLUSTERS = "clusters"
"""Folder of listener and clusters. Envoy reads all that it watches in a folder when a file of it is
replaced; beside the routes, every change of a split would make it read all clusters again (measured
with 50 models: 87 ms of its CPU time instead of 13)."""

_TYPE = "type.googleapis.com/envoy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Address of one model server."""

    host: str = "127.0.0.1"
    grpc_port: int
    rest_port: int


def _local_endpoints() -> dict[Role, Endpoint]:
    roles: tuple[Role, ...] = ("stable", "control", "canary", "shadow")
    return {
        role: Endpoint(grpc_port=8510 + 10 * index, rest_port=8511 + 10 * index)
        for index, role in enumerate(roles)
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvoyLayout:
    """One model behind Envoy: the addresses of its servers, and those of Envoy itself, which all
    models of a deployment share."""

    model: str
    """The model's name."""
    default: bool = True
    """Whether gRPC requests that do not name a model go to this one."""
    host: str = "127.0.0.1"
    port: int = 8500
    admin_host: str = "127.0.0.1"
    admin_port: int = 9901
    endpoints: dict[Role, Endpoint] = field(default_factory=_local_endpoints)
    labels: tuple[str, ...] = ()
    """Users' own labels, whose versions are on a server of their own."""
    label_endpoint: Endpoint | None = None
    """That server; None without labels."""
    timeout_seconds: float = 10.0
    """Time limit of a client's request."""
    retry_after_seconds: float = 0.3
    """Time after which an unanswered request is also sent to the fallback server. A response of the
    fallback counts as an error of the first server, so this must be rare in normal operation: set
    1.0 where servers share few cores."""
    health_seconds: float = 1.0
    """Interval of the health checks."""
    slices: SliceRules = NO_SLICES
    """The requests that are counted apart."""


def split_text(split: TrafficSplit) -> str:
    """The split as the version of the route configuration, readable by `read_split`.

    >>> split_text(TrafficSplit(stable=90, control=5, canary=5))
    'stable=90 control=5 canary=5 mirror=0 shadow=0 experiment='
    """
    shares = (split.stable, split.control, split.canary, split.mirror, split.shadow)
    names = ("stable", "control", "canary", "mirror", "shadow")
    text = " ".join(f"{name}={share}" for name, share in zip(names, shares, strict=True))
    return f"{text} experiment={experiment_text(split.experiment)}"


def read_split(text: str) -> TrafficSplit:
    """Parse the text that `split_text` wrote.

    >>> read_split("stable=90 control=5 canary=5 mirror=0 shadow=0 experiment=").canary
    5
    """
    try:
        parts = dict(part.split("=") for part in text.split(" "))
        experiment = read_experiment(parts.pop("experiment"))
        shares = {name: int(value) for name, value in parts.items()}
        return TrafficSplit(**shares, experiment=experiment)
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"Route version {text!r} was not written by Driftline; Driftline must write the route "
            "file."
        ) from error


def bootstrap(layout: EnvoyLayout, folder: str) -> Json:
    """Envoy's bootstrap file: admin address, watched folder, and histogram edges."""
    return {
        "node": {"id": "driftline", "cluster": "driftline"},
        "admin": {"address": socket_address(layout.admin_host, layout.admin_port)},
        "dynamic_resources": {
            "lds_config": _watched(f"{folder}/{CLUSTERS}", "lds.json"),
            "cds_config": _watched(f"{folder}/{CLUSTERS}", "cds.json"),
        },
        # Histograms are exported only when flushed; the default of 5 s delays ejection checks.
        "stats_flush_interval": "0.5s",
        "stats_config": {
            "histogram_bucket_settings": [
                {"match": {"suffix": "upstream_rq_time"}, "buckets": list(LATENCY_EDGES_MS)}
            ]
        },
    }


def listeners(layout: EnvoyLayout, folder: str) -> list[Json]:
    """One listener for REST and gRPC; Envoy detects the protocol."""
    manager = {
        "@type": resource_type("extensions.filters.network.http_connection_manager.v3")
        + ".HttpConnectionManager",
        "stat_prefix": "serving",
        "codec_type": "AUTO",
        "rds": {"route_config_name": "serving", "config_source": _watched(folder, "rds.json")},
        "http_filters": [
            {
                "name": "envoy.filters.http.grpc_stats",
                "typed_config": {
                    "@type": resource_type("extensions.filters.http.grpc_stats.v3")
                    + ".FilterConfig",
                    "stats_for_all_methods": False,
                    "enable_upstream_stats": True,
                },
            },
            {
                "name": "envoy.filters.http.router",
                "typed_config": {
                    "@type": resource_type("extensions.filters.http.router.v3") + ".Router"
                },
            },
        ],
    }
    return [
        {
            "@type": resource_type("config.listener.v3") + ".Listener",
            "name": "serving",
            "address": socket_address(layout.host, layout.port),
            "filter_chains": [
                {
                    "filters": [
                        {
                            "name": "envoy.filters.network.http_connection_manager",
                            "typed_config": manager,
                        }
                    ]
                }
            ],
        }
    ]


def discovery(version: str, resources: list[Json]) -> Json:
    """A discovery response, the format of every watched file."""
    return {"version_info": version, "resources": resources}


def _watched(folder: str, name: str) -> Json:
    return {
        "resource_api_version": "V3",
        "path_config_source": {
            "path": f"{folder}/{name}",
            "watched_directory": {"path": folder},
        },
    }


def socket_address(host: str, port: int) -> Json:
    """A socket address as Envoy expects it."""
    return {"socket_address": {"address": host, "port_value": port}}


def duration(value: float) -> str:
    """A duration in seconds in Envoy's notation."""
    return f"{value:g}s"


def resource_type(package: str) -> str:
    """The prefix of an ``@type``."""
    return f"{_TYPE}.{package}"
