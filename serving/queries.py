"""The measurements behind the gates as PromQL, for verdict records and dashboards.

The gates work on the raw counters of each scrape (`serving.engines.prometheus.client`), in blocks
between scrapes. These expressions give the same numbers over the last block to anybody with access
to Prometheus. Clients are routed to the `fb` clusters (arm with fallback); the cluster without `fb`
is the arm's own server.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One PromQL expression."""

    name: str
    expression: str
    description: str


def requests_of(arm: str) -> str:
    """PromQL: completed requests routed to an arm, whichever server answered."""
    labels = f'{{envoy_cluster_name=~"{arm}fb_.+"}}'
    return f"sum(increase(envoy_cluster_upstream_rq_completed{labels}[5s]))"


def served_by(arm: str) -> str:
    """PromQL: requests that the arm's own server answered without a server error."""
    return f'sum(increase(envoy_cluster_endpoint_rq_success{{envoy_cluster_name=~"{arm}_.+"}}[5s]))'


def slow_of(arm: str, latency_ms: int = 200) -> str:
    """PromQL: responses of an arm above the latency limit."""
    name = "envoy_cluster_upstream_rq_time"
    labels = f'envoy_cluster_name=~"{arm}fb_.+"'
    within = f'{labels},le=~"{latency_ms}(\\\\.0)?"'
    timed = f"sum(increase({name}_count{{{labels}}}[5s]))"
    return f"{timed} - sum(increase({name}_bucket{{{within}}}[5s]))"


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
