"""The questions behind the gates as PromQL, as data: shown with every verdict, asked by dashboards.

The judge itself works on the raw counters of each scrape (`serving.engines.prometheus.client`), in blocks
between scrapes; these expressions give the same numbers over the last block to anybody with a
Prometheus. `fb` clusters are the arms that clients are routed to; the cluster without `fb` is the
arm's own server.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One question."""

    name: str
    expression: str
    meaning: str


def requests_of(arm: str) -> str:
    """Requests routed to an arm and finished, whoever answered."""
    where = f'{{envoy_cluster_name=~"{arm}fb_.+"}}'
    return f"sum(increase(envoy_cluster_upstream_rq_completed{where}[5s]))"


def served_by(arm: str) -> str:
    """Requests that the arm's own server answered without a server error."""
    return f'sum(increase(envoy_cluster_endpoint_rq_success{{envoy_cluster_name=~"{arm}_.+"}}[5s]))'


def slow_of(arm: str, latency_ms: int = 200) -> str:
    """Answers of an arm above the latency limit."""
    name = "envoy_cluster_upstream_rq_time"
    where = f'envoy_cluster_name=~"{arm}fb_.+"'
    within = f'{where},le=~"{latency_ms}(\\\\.0)?"'
    return (
        f"sum(increase({name}_count{{{where}}}[5s])) - sum(increase({name}_bucket{{{within}}}[5s]))"
    )


QUERIES: dict[str, Query] = {
    query.name: query
    for query in (
        Query(
            name="errors",
            expression=f"{requests_of('canary')} - {served_by('canary')}",
            meaning="Requests of the canary that its own server did not answer well; the same "
            "for the control is compared with it. Answers 4xx are added to both.",
        ),
        Query(
            name="slow",
            expression=slow_of("canary"),
            meaning="Answers of the canary above the latency limit, compared with the control's.",
        ),
        Query(
            name="latency_p99",
            expression=slow_of("canary"),
            meaning="Answers of the canary above the latency limit, against an absolute share.",
        ),
        Query(
            name="sample_ratio",
            expression=f"{requests_of('canary')} / {requests_of('control')}",
            meaning="Canary and control must get equal numbers of requests.",
        ),
        Query(
            name="startup",
            expression="",
            meaning="Asked of the model server, not of Prometheus: load asked for → available.",
        ),
    )
}
