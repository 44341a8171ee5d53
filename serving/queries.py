"""The measurements behind the gates as PromQL, for verdict records and dashboards.

The gates work on the raw counters of each scrape (`serving.engines.prometheus.client`), in blocks
between scrapes. These expressions give the same numbers over the last block to anybody with access
to Prometheus. Clients are routed to the `fb` clusters (arm with fallback); the cluster without `fb`
is the arm's own server. ``$model`` stands for the model's name, as in users' queries.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One PromQL expression."""

    name: str
    expression: str
    description: str


def requests_of(arm: str) -> str:
    """PromQL: completed requests routed to an arm, whichever server answered."""
    labels = f'{{envoy_cluster_name=~"{arm}fb[-_].+",model="$model"}}'
    return f"sum(increase(envoy_cluster_upstream_rq_completed{labels}[5s]))"


def served_by(arm: str) -> str:
    """PromQL: requests that the arm's own server answered without a server error."""
    labels = f'{{envoy_cluster_name=~"{arm}_.+",model="$model"}}'
    return f"sum(increase(envoy_cluster_endpoint_rq_success{labels}[5s]))"


def of_model(expression: str, model: str) -> str:
    """The expression for one model.

    >>> of_model('x{model="$model"}', "fares")
    'x{model="fares"}'
    """
    return re.sub(r"\$model\b", lambda _: model, expression)


def slow_of(arm: str, latency_ms: int = 200) -> str:
    """PromQL: responses of an arm above the latency limit."""
    return _slow(f"{arm}fb[-_].+", "sum", latency_ms)


def failed_tries_by_slice(arm: str) -> str:
    """PromQL: tries of an arm's own server that failed, by slice."""
    labels = f'{{envoy_cluster_name=~"{arm}fb-.+",model="$model"}}'
    return f"sum by (slice) (increase(envoy_cluster_upstream_rq_retry{labels}[5s]))"


def slow_by_slice(arm: str, latency_ms: int = 200) -> str:
    """PromQL: responses of an arm above the latency limit, by slice."""
    return _slow(f"{arm}fb-.+", "sum by (slice) ", latency_ms)


def _slow(clusters: str, total: str, latency_ms: int) -> str:
    name = "envoy_cluster_upstream_rq_time"
    labels = f'envoy_cluster_name=~"{clusters}",model="$model"'
    within = f'{labels},le=~"{latency_ms}(\\\\.0)?"'
    timed = f"{total}(increase({name}_count{{{labels}}}[5s]))"
    return f"{timed} - {total}(increase({name}_bucket{{{within}}}[5s]))"


QUERIES: dict[str, Query] = {
    query.name: query
    for query in (
        Query(
            name="errors",
            expression=f"{requests_of('canary')} - {served_by('canary')}",
            description="Requests of the canary that its own server did not answer successfully, "
            "compared with the same count of the control. 4xx responses are added to both.",
        ),
        Query(
            name="slow",
            expression=slow_of("canary"),
            description="Responses of the canary above the latency limit, compared with the "
            "control's.",
        ),
        Query(
            name="control_errors",
            expression=f"{requests_of('control')} - {served_by('control')}",
            description="Requests of the control that its own server did not answer successfully, "
            "compared with the same count of the stable arm: both serve the champion.",
        ),
        Query(
            name="control_slow",
            expression=slow_of("control"),
            description="Responses of the control above the latency limit, compared with those of "
            "the stable arm.",
        ),
        Query(
            name="errors_by_slice",
            expression=failed_tries_by_slice("canary"),
            description="Tries of the canary's server that failed, by slice, compared with the "
            "control's. 4xx responses are added to both.",
        ),
        Query(
            name="slow_by_slice",
            expression=slow_by_slice("canary"),
            description="Responses of the canary above the latency limit, by slice, compared with "
            "the control's.",
        ),
        Query(
            name="control_errors_by_slice",
            expression=failed_tries_by_slice("control"),
            description="Tries of the control's server that failed, by slice, compared with those "
            "of the stable arm.",
        ),
        Query(
            name="control_slow_by_slice",
            expression=slow_by_slice("control"),
            description="Responses of the control above the latency limit, by slice, compared with "
            "those of the stable arm.",
        ),
        Query(
            name="latency_p99",
            expression=slow_of("canary"),
            description="Responses of the canary above the latency limit, against an absolute "
            "share.",
        ),
        Query(
            name="sample_ratio",
            expression=f"{requests_of('canary')} / {requests_of('control')}",
            description="Canary and control must receive equal numbers of requests.",
        ),
        Query(
            name="startup",
            expression="",
            description="Measured by the model server, not by Prometheus: load request → "
            "available.",
        ),
    )
}
