"""Envoy's configuration as data: pure functions from the layout and the split to JSON resources.

Decided here, each for a reason that was measured:

- After `retry_after_seconds` the request is tried elsewhere too and the first answer wins
  (hedging): a hung server costs a client that long, and a slow healthy one is not cut off.
- Only PredictionService and REST are routed; nobody reloads a model through the public port.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from serving.ports import Role, Split
from serving.rules import LATENCY_EDGES_MS
from streaming.contracts.errors import ConfigurationError

Json = dict[str, Any]
Proto = Literal["rest", "grpc"]
PROTOS: tuple[Proto, ...] = ("rest", "grpc")

ARM_HEADER = "x-driftline-arm"
SPLIT_HEADER = "x-rt-version"
USER_HEADER = "x-user-id"

_TYPE = "type.googleapis.com/envoy"
_RETRY_ON = (
    "5xx,connect-failure,refused-stream,reset,unavailable,internal,cancelled,resource-exhausted"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where one model server listens."""

    host: str = "127.0.0.1"
    grpc_port: int
    rest_port: int


def _local_endpoints() -> dict[Role, Endpoint]:
    roles: tuple[Role, ...] = ("stable", "control", "canary", "shadow")
    return {
        role: Endpoint(grpc_port=8510 + 10 * place, rest_port=8511 + 10 * place)
        for place, role in enumerate(roles)
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvoyLayout:
    """Addresses and times of the router."""

    model: str
    """Asked for in health checks."""
    host: str = "127.0.0.1"
    port: int = 8500
    admin_host: str = "127.0.0.1"
    admin_port: int = 9901
    endpoints: dict[Role, Endpoint] = field(default_factory=_local_endpoints)
    timeout_seconds: float = 10.0
    """A client waits at most so long."""
    retry_after_seconds: float = 0.3
    """A server that has not answered by then gets company. An answer of the second server counts as
    the first one's error, so this must be rare in health: set 1.0 where servers share few cores."""
    health_seconds: float = 1.0


def split_text(split: Split) -> str:
    """The split as the version of the route configuration, readable by `read_split`.

    >>> split_text(Split(stable=90, control=5, canary=5))
    'stable=90 control=5 canary=5 mirror=0 shadow=0 sticky=0'
    """
    shares = (split.stable, split.control, split.canary, split.mirror, split.shadow)
    names = ("stable", "control", "canary", "mirror", "shadow")
    text = " ".join(f"{name}={share}" for name, share in zip(names, shares, strict=True))
    return f"{text} sticky={int(split.sticky)}"


def read_split(text: str) -> Split:
    """The split that `split_text` wrote.

    >>> read_split("stable=90 control=5 canary=5 mirror=0 shadow=0 sticky=0").canary
    5
    """
    try:
        shares = {name: int(value) for name, value in (part.split("=") for part in text.split())}
        sticky = bool(shares.pop("sticky"))
        return Split(**shares, sticky=sticky)
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"Route version {text!r} was not written by Driftline; let it write the route file."
        ) from error


def bootstrap(layout: EnvoyLayout, folder: str) -> Json:
    """The file Envoy starts with: admin, the folder to watch, and the histogram's edges."""
    return {
        "node": {"id": "driftline", "cluster": "driftline"},
        "admin": {"address": socket_address(layout.admin_host, layout.admin_port)},
        "dynamic_resources": {
            "lds_config": _watched(folder, "lds.json"),
            "cds_config": _watched(folder, "cds.json"),
        },
        # Histograms reach the counters only when flushed; the default of 5 s would blind the watch.
        "stats_flush_interval": "0.5s",
        "stats_config": {
            "histogram_bucket_settings": [
                {"match": {"suffix": "upstream_rq_time"}, "buckets": list(LATENCY_EDGES_MS)}
            ]
        },
    }


def listeners(layout: EnvoyLayout, folder: str) -> list[Json]:
    """One listener; the codec is found out, so REST and gRPC share the port."""
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


def routes(layout: EnvoyLayout, split: Split) -> list[Json]:
    """The one thing that changes in a rollout."""
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
    """A discovery response, the form of every watched file."""
    return {"version_info": version, "resources": resources}


def _action(layout: EnvoyLayout, split: Split, proto: Proto) -> Json:
    # Control first and canary last: as they widen, each keeps the users it has (sticky mode).
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
    """Where something listens."""
    return {"socket_address": {"address": host, "port_value": port}}


def _header(key: str, value: str) -> Json:
    return {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def duration(value: float) -> str:
    """Seconds as Envoy writes them."""
    return f"{value:g}s"


def resource_type(package: str) -> str:
    """The beginning of an ``@type``."""
    return f"{_TYPE}.{package}"
