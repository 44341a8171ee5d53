"""Envoy's clusters as data: the servers, the arms built from them, and the mirror clusters.

Decisions, each based on a measurement:

- Every arm is an aggregate cluster with a fallback (`canaryfb` = canary, then stable). A request
  whose first server fails is retried on the other server. Retries inside one cluster lose requests.
- Retries have a budget, also on the aggregates. Their default of 3 concurrent retries loses
  requests; without a budget a slow machine gets three times the load and stays slow.
- Health checks use the REST port, also for gRPC: a TCP check does not detect a hang.
- A change of health reaches the workers at once. By default Envoy keeps a second change within a
  second back (`update_merge_window`), and its statistics already say what its workers do not know.
- The fallback server of an arm is a separate cluster (`sparestable`), so that its responses are
  never counted for the first server. The errors of an arm are its requests minus the successes of
  its own server, whether they were retried or not.
- Requests that are no predictions use an aggregate of the spare clusters, so that they are counted
  for no arm. So do, with one of their own, the predictions of users outside an experiment: no gate
  counts them, but the alerts on errors and latency see them.
- Copies use separate clusters without ejection or health checks, so that a failing server does not
  make them disappear from the counts.
- Control and canary have the same configuration, because the gates compare them.
- A request that an arm's server refuses is tried once more, on the spare server (`refusals.py`).
  Envoy runs the filters of the aggregate for it, not those of the server's own cluster.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Literal

from serving.engines.envoy.config import (
    Endpoint,
    EnvoyLayout,
    Json,
    duration,
    resource_type,
    socket_address,
)
from serving.engines.envoy.experiment_routes import OUTSIDE
from serving.engines.envoy.names import PROTOS, Proto, cluster_name
from serving.engines.envoy.refusals import answer_mark
from serving.engines.envoy.slice_routes import arm_cluster
from serving.ports import Role

RETRY_PERCENT = 20.0
"""Limit on concurrent retries, in percent of the active requests."""
MIN_RETRIES = 16
"""Concurrent retries that are always allowed, however few requests are active."""
_Guard = Literal["none", "health", "ejection"]
_FALLBACK: dict[Role, Role] = {"stable": "control", "control": "stable", "canary": "stable"}


def clusters(layout: EnvoyLayout) -> list[Json]:
    """The clusters of one model: servers, aggregates for clients' requests, mirrors.

    A model's clusters have no server and no counter in common with those of another model.
    """
    resources: list[Json] = []
    for proto in PROTOS:
        for role, fallback in _FALLBACK.items():
            resources.append(server(layout, role, proto, name=role, checked=True))
            resources += [
                _arm(layout, proto, arm_cluster(role, name), (role, f"spare{fallback}"))
                for name in ("", *layout.slices.values)
            ]
        for role in ("stable", "control"):
            resources.append(server(layout, role, proto, name=f"spare{role}", checked=True))
        resources += [
            aggregate(layout, proto, name, ("sparestable", "sparecontrol"))
            for name in ("other", OUTSIDE)
        ]
        resources += [
            server(layout, role, proto, name=name, checked=False)
            for role, name in (
                ("control", "mirrorcontrol"),
                ("canary", "mirrorcanary"),
                ("shadow", "shadow"),
            )
            if role in layout.endpoints
        ]
        resources.append(server(layout, "canary", proto, name="labelcanary", checked=False))
        if layout.label_endpoint is not None:
            end = layout.label_endpoint
            resources.append(_server(layout, end, proto, name="labelled", guard="none"))
    return resources


def server(layout: EnvoyLayout, role: Role, proto: Proto, *, name: str, checked: bool) -> Json:
    """A cluster of one server; `checked` ones are left out while they are unhealthy or ejected."""
    guard: _Guard = "none"
    if checked:
        # Stable is the last resort: it receives requests even when it looks unhealthy.
        guard = "health" if role == "stable" else "ejection"
    return _server(layout, layout.endpoints[role], proto, name=name, guard=guard)


def _protocol_options(proto: Proto, filters: Sequence[Json] = ()) -> Json:
    """HTTP/2 for gRPC, and filters that see every try."""
    protocol = "http2_protocol_options" if proto == "grpc" else "http_protocol_options"
    options: Json = {
        "@type": resource_type("extensions.upstreams.http.v3") + ".HttpProtocolOptions",
        "explicit_http_config": {protocol: {}},
    }
    if filters:
        options["http_filters"] = [*filters, _upstream_codec()]
    return {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options}


def _upstream_codec() -> Json:
    kind = resource_type("extensions.filters.http.upstream_codec.v3") + ".UpstreamCodec"
    return {"name": "envoy.filters.http.upstream_codec", "typed_config": {"@type": kind}}


def _server(layout: EnvoyLayout, end: Endpoint, proto: Proto, *, name: str, guard: _Guard) -> Json:
    name = cluster_name(name, proto, layout.model)
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
        cluster["typed_extension_protocol_options"] = _protocol_options(proto)
    if guard != "none":
        cluster["health_checks"] = [_health_check(layout)]
        cluster["common_lb_config"] = {"update_merge_window": "0s"}
    if guard == "ejection":
        cluster["common_lb_config"]["healthy_panic_threshold"] = {"value": 0}
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


def _arm(layout: EnvoyLayout, proto: Proto, name: str, members: tuple[str, ...]) -> Json:
    """The aggregate of an arm: what its first server refuses is tried on the next."""
    options = _protocol_options(proto, [answer_mark()])
    cluster = aggregate(layout, proto, name, members)
    return {**cluster, "typed_extension_protocol_options": options}


def aggregate(layout: EnvoyLayout, proto: Proto, name: str, members: tuple[str, ...]) -> Json:
    """A cluster that sends to the first of its members, and retries on the next."""
    return {
        "@type": resource_type("config.cluster.v3") + ".Cluster",
        "name": cluster_name(name, proto, layout.model),
        "connect_timeout": "0.3s",
        "lb_policy": "CLUSTER_PROVIDED",
        "circuit_breakers": _limits(),
        "cluster_type": {
            "name": "envoy.clusters.aggregate",
            "typed_config": {
                "@type": resource_type("extensions.clusters.aggregate.v3") + ".ClusterConfig",
                "clusters": [cluster_name(member, proto, layout.model) for member in members],
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
