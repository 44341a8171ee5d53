"""Envoy's configuration as data: pure functions from the layout and the split to JSON resources.

Decisions, each based on a measurement:

- After `retry_after_seconds` the request is also sent to another server, and the first response
  wins (hedging). A hung server delays a client by that time, and a slow healthy server is not cut
  off.
- Only PredictionService and REST are routed; models cannot be reloaded through the public port.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from serving.ports import Role, TrafficSplit
from serving.rules import LATENCY_EDGES_MS
from streaming.contracts.errors import ConfigurationError

Json = dict[str, Any]
Proto = Literal["rest", "grpc"]
PROTOS: tuple[Proto, ...] = ("rest", "grpc")

ARM_HEADER = "x-driftline-arm"
SPLIT_HEADER = "x-driftline-version"
USER_HEADER = "x-user-id"

_TYPE = "type.googleapis.com/envoy"
_RETRY_ON = (
    "5xx,connect-failure,refused-stream,reset,unavailable,internal,cancelled,resource-exhausted"
)


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
    """Addresses and time limits of the router."""

    model: str
    """Model name for the health checks."""
    host: str = "127.0.0.1"
    port: int = 8500
    admin_host: str = "127.0.0.1"
    admin_port: int = 9901
    endpoints: dict[Role, Endpoint] = field(default_factory=_local_endpoints)
    timeout_seconds: float = 10.0
    """Time limit of a client's request."""
    retry_after_seconds: float = 0.3
    """Time after which an unanswered request is also sent to the fallback server. A response of the
    fallback counts as an error of the first server, so this must be rare in normal operation: set
    1.0 where servers share few cores."""
    health_seconds: float = 1.0
    """Interval of the health checks."""


def split_text(split: TrafficSplit) -> str:
    """The split as the version of the route configuration, readable by `read_split`.

    >>> split_text(TrafficSplit(stable=90, control=5, canary=5))
    'stable=90 control=5 canary=5 mirror=0 shadow=0 sticky=0'
    """
    shares = (split.stable, split.control, split.canary, split.mirror, split.shadow)
    names = ("stable", "control", "canary", "mirror", "shadow")
    text = " ".join(f"{name}={share}" for name, share in zip(names, shares, strict=True))
    return f"{text} sticky={int(split.sticky)}"


def read_split(text: str) -> TrafficSplit:
    """Parse the text that `split_text` wrote.

    >>> read_split("stable=90 control=5 canary=5 mirror=0 shadow=0 sticky=0").canary
    5
    """
    try:
        shares = {name: int(value) for name, value in (part.split("=") for part in text.split())}
        sticky = bool(shares.pop("sticky"))
        return TrafficSplit(**shares, sticky=sticky)
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
            "lds_config": _watched(folder, "lds.json"),
            "cds_config": _watched(folder, "cds.json"),
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


def routes(layout: EnvoyLayout, split: TrafficSplit) -> list[Json]:
    """The route configuration: the only resource that changes during a rollout."""
    return [
        {
            "@type": resource_type("config.route.v3") + ".RouteConfiguration",
            "name": "serving",
            "response_headers_to_add": [_header(SPLIT_HEADER, split_text(split))],
            "virtual_hosts": [
                {
                    "name": "serving",
                    "domains": ["*"],
                    "routes": [
                        {
                            "match": {"prefix": "/tensorflow.serving.PredictionService/"},
                            "route": _action(layout, split, "grpc"),
                        },
                        {
                            "match": {"prefix": "/v1/models/"},
                            "route": _action(layout, split, "rest"),
                        },
                    ],
                }
            ],
        }
    ]


def discovery(version: str, resources: list[Json]) -> Json:
    """A discovery response, the format of every watched file."""
    return {"version_info": version, "resources": resources}


def _action(layout: EnvoyLayout, split: TrafficSplit, proto: Proto) -> Json:
    # Control first and canary last: each arm keeps its users when its share grows (sticky mode).
    shares = (("control", split.control), ("stable", split.stable), ("canary", split.canary))
    weighted: Json = {
        "clusters": [
            {
                "name": f"{arm}fb_{proto}",
                "weight": share,
                "response_headers_to_add": [_header(ARM_HEADER, arm)],
            }
            for arm, share in shares
        ]
    }
    action: Json = {
        "weighted_clusters": weighted,
        "timeout": duration(layout.timeout_seconds),
        "retry_policy": {
            "retry_on": _RETRY_ON,
            "num_retries": 2,
            "per_try_timeout": duration(layout.retry_after_seconds),
            "retry_priority": {
                "name": "envoy.retry_priorities.previous_priorities",
                "typed_config": {
                    "@type": resource_type("extensions.retry.priority.previous_priorities.v3")
                    + ".PreviousPrioritiesConfig",
                    "update_frequency": 1,
                },
            },
        },
        "hedge_policy": {"hedge_on_per_try_timeout": True},
    }
    if split.sticky:
        weighted["use_hash_policy"] = True
        action["hash_policy"] = [{"header": {"header_name": USER_HEADER}, "terminal": True}]
    copies = [
        (name, share)
        for name, share in (
            ("mirrorcontrol", split.mirror),
            ("mirrorcanary", split.mirror),
            ("shadow", split.shadow),
        )
        if share
    ]
    if copies:
        action["request_mirror_policies"] = [
            {
                "cluster": f"{name}_{proto}",
                "runtime_fraction": {
                    "default_value": {"numerator": share, "denominator": "HUNDRED"}
                },
            }
            for name, share in copies
        ]
    return action


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


def _header(key: str, value: str) -> Json:
    return {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def duration(value: float) -> str:
    """A duration in seconds in Envoy's notation."""
    return f"{value:g}s"


def resource_type(package: str) -> str:
    """The prefix of an ``@type``."""
    return f"{_TYPE}.{package}"
