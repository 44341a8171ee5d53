"""Envoy's clusters as data: the servers, the arms made of them, and the copies' own clusters.

Decided here, each for a reason that was measured:

- Every arm is an aggregate cluster (`canaryfb` = canary, then stable), so that a request whose
  first server fails is tried on another one. Retries inside one cluster lose requests.
- Second tries have a budget, set on the aggregates too: their default of 3 at once loses requests,
  and without one a slow machine is asked three times as much and stays slow.
- Health is asked at the REST port, for gRPC as well: a TCP check never sees a hang.
- The second server of an arm is a cluster of its own (`sparestable`), so that what it answers is
  never counted for the first: requests of the arm minus successes of its own server are the
  arm's errors, retried or not.
- Copies go through clusters of their own without ejection or health checks, so that a failing
  server does not make them disappear from the counts.
- Control and canary are configured alike in everything: the judge compares them.
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
"""Of the requests under way, how many may be tried again at the same time."""
LEAST_RETRIES = 16
"""At the same time, however few are under way: hundreds of quick ones a second."""
_FALLBACK: dict[Role, Role] = {"stable": "control", "control": "stable", "canary": "stable"}


def clusters(layout: EnvoyLayout) -> list[Json]:
    """The servers, the aggregates that clients' requests go to, and the copies' own clusters."""
    made = []
    for proto in PROTOS:
        for role, second in _FALLBACK.items():
            made.append(_server(layout, role, proto, name=f"{role}_{proto}", guarded=True))
            members = (f"{role}_{proto}", f"spare{second}_{proto}")
            made.append(_aggregate(f"{role}fb_{proto}", members))
        for role in ("stable", "control"):
            made.append(_server(layout, role, proto, name=f"spare{role}_{proto}", guarded=True))
        made += [
            _server(layout, role, proto, name=f"{name}_{proto}", guarded=False)
            for role, name in (
                ("control", "mirrorcontrol"),
                ("canary", "mirrorcanary"),
                ("shadow", "shadow"),
            )
            if role in layout.endpoints
        ]
    return made


def _server(layout: EnvoyLayout, role: Role, proto: Proto, *, name: str, guarded: bool) -> Json:
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
    if guarded:
        cluster["health_checks"] = [_health_check(layout)]
    if guarded and role != "stable":
        # Stable is the last resort: it is asked even when it looks ill.
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
        # Generous: a busy machine must not look like a dead canary; hedging covers the wait.
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
    """Second tries have a budget: where everything is slow, trying everything again (three times
    the requests) would keep it slow for good. Low traffic, and the moments until a dead server is
    out, live on the least number."""
    return {
        "thresholds": [
            {
                "priority": "DEFAULT",
                "max_requests": 4096,
                "max_pending_requests": 4096,
                "retry_budget": {
                    "budget_percent": {"value": RETRY_PERCENT},
                    "min_retry_concurrency": LEAST_RETRIES,
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
