"""Envoy's clusters as data: the servers, the arms built from them, and the mirror clusters.

Decisions, each based on a measurement:

- Every arm is an aggregate cluster with a fallback (`canaryfb` = canary, then stable). A request
  whose first server fails is retried on the other server. Retries inside one cluster lose requests.
- Retries have a budget, also on the aggregates. Their default of 3 concurrent retries loses
  requests; without a budget a slow machine gets three times the load and stays slow.
- Health checks use the REST port, also for gRPC: a TCP check does not detect a hang.
- The fallback server of an arm is a separate cluster (`sparestable`), so that its responses are
  never counted for the first server. The errors of an arm are its requests minus the successes of
  its own server, whether they were retried or not.
- Copies use separate clusters without ejection or health checks, so that a failing server does not
  make them disappear from the counts.
- Control and canary have the same configuration, because the gates compare them.
"""

from __future__ import annotations

import ipaddress

from serving.engines.envoy.config import (
    PROTOS,
    EnvoyLayout,
    Json,
    Proto,
    duration,
    resource_type,
    socket_address,
)
from serving.ports import Role

RETRY_PERCENT = 20.0
"""Limit on concurrent retries, in percent of the active requests."""
MIN_RETRIES = 16
"""Concurrent retries that are always allowed, however few requests are active."""
_FALLBACK: dict[Role, Role] = {"stable": "control", "control": "stable", "canary": "stable"}


def clusters(layout: EnvoyLayout) -> list[Json]:
    """The server clusters, the aggregates for clients' requests, and the mirror clusters."""
    resources = []
    for proto in PROTOS:
        for role, fallback in _FALLBACK.items():
            resources.append(_server(layout, role, proto, name=f"{role}_{proto}", checked=True))
            members = (f"{role}_{proto}", f"spare{fallback}_{proto}")
            resources.append(_aggregate(f"{role}fb_{proto}", members))
        for role in ("stable", "control"):
            resources.append(
                _server(layout, role, proto, name=f"spare{role}_{proto}", checked=True)
            )
        resources += [
            _server(layout, role, proto, name=f"{name}_{proto}", checked=False)
            for role, name in (
                ("control", "mirrorcontrol"),
                ("canary", "mirrorcanary"),
                ("shadow", "shadow"),
            )
            if role in layout.endpoints
        ]
    return resources


def _server(layout: EnvoyLayout, role: Role, proto: Proto, *, name: str, checked: bool) -> Json:
    end = layout.endpoints[role]
    port = end.grpc_port if proto == "grpc" else end.rest_port
    cluster: Json = {
        "@type": resource_type("config.cluster.v3") + ".Cluster",
        "name": name,
        "type": "STATIC" if _is_address(end.host) else "STRICT_DNS",
        "connect_timeout": duration(layout.retry_after_seconds),
        "circuit_breakers": _limits(),
        "track_cluster_stats": {"per_endpoint_stats": True},
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [
                {
                    "lb_endpoints": [
                        {
                            "endpoint": {
                                "address": socket_address(end.host, port),
                                "health_check_config": {"port_value": end.rest_port},
                            }
                        }
                    ]
                }
            ],
        },
    }
    if proto == "grpc":
        cluster["typed_extension_protocol_options"] = {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": resource_type("extensions.upstreams.http.v3") + ".HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        }
    if checked:
        cluster["health_checks"] = [_health_check(layout)]
    if checked and role != "stable":
        # Stable is the last resort: it receives requests even when it looks unhealthy.
        cluster["common_lb_config"] = {"healthy_panic_threshold": {"value": 0}}
        cluster["outlier_detection"] = {
            "consecutive_5xx": 3,
            "split_external_local_origin_errors": True,
            "consecutive_local_origin_failure": 3,
            "interval": "1s",
            "base_ejection_time": "5s",
            "max_ejection_time": "5s",
            "max_ejection_percent": 100,
        }
    return cluster


def _aggregate(name: str, members: tuple[str, ...]) -> Json:
    return {
        "@type": resource_type("config.cluster.v3") + ".Cluster",
        "name": name,
        "connect_timeout": "0.3s",
        "lb_policy": "CLUSTER_PROVIDED",
        "circuit_breakers": _limits(),
        "cluster_type": {
            "name": "envoy.clusters.aggregate",
            "typed_config": {
                "@type": resource_type("extensions.clusters.aggregate.v3") + ".ClusterConfig",
                "clusters": list(members),
            },
        },
    }


def _health_check(layout: EnvoyLayout) -> Json:
    return {
        # Long timeout: a busy machine must not look like a dead canary; hedging covers the wait.
        "timeout": duration(2 * layout.health_seconds),
        "interval": duration(layout.health_seconds),
        "no_traffic_interval": duration(layout.health_seconds),
        "unhealthy_threshold": 2,
        "healthy_threshold": 1,
        "http_health_check": {
            "path": f"/v1/models/{layout.model}",
            "codec_client_type": "HTTP1",
            "receive": [{"text": b"AVAILABLE".hex()}],
        },
    }


def _limits() -> Json:
    """Connection limits and the retry budget.

    The budget prevents a retry storm: with every server slow, unlimited retries triple the load and
    keep the servers slow. `MIN_RETRIES` covers low traffic and the time until a dead server is
    ejected.
    """
    return {
        "thresholds": [
            {
                "priority": "DEFAULT",
                "max_requests": 4096,
                "max_pending_requests": 4096,
                "retry_budget": {
                    "budget_percent": {"value": RETRY_PERCENT},
                    "min_retry_concurrency": MIN_RETRIES,
                },
            }
        ]
    }


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
