"""The Prometheus query of the gates: one selector, and the conversion of samples to counters.

One range selector returns every raw sample with the time of its scrape. All numbers of one instant
are thus compared with each other, however late they are read.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from serving.ports import ARMS, Arm, ArmCounters, Scrape

UPTIME = "envoy_server_uptime"
_COMPLETED = "envoy_cluster_upstream_rq_completed"
_CLASS = "envoy_cluster_upstream_rq_xx"
_SERVED = "envoy_cluster_endpoint_rq_success"
_TIMED = "envoy_cluster_upstream_rq_time_count"
_WITHIN = "envoy_cluster_upstream_rq_time_bucket"
_GRPC_CLIENT_ERROR = "envoy_cluster_grpc_(?:1|3|5|6|7|8|9|10|11|16)"
"""gRPC codes that map to HTTP 4xx: Envoy counts them as successes of the server."""

_CLIENT_ERROR = re.compile(_GRPC_CLIENT_ERROR)


class Sample(NamedTuple):
    """One raw sample: labels (with ``__name__``), time of the scrape, value."""

    labels: Mapping[str, str]
    at: float
    value: float


def selector(latency_ms: int, seconds: int) -> str:
    """All counters of the arms over the last `seconds`.

    >>> selector(200, 5).endswith('[5s]')
    True
    """
    names = "|".join((UPTIME, _COMPLETED, _CLASS, _SERVED, _TIMED, _WITHIN, _GRPC_CLIENT_ERROR))
    clusters = "(?:(?:stable|control|canary)(?:fb)?|mirrorcontrol|mirrorcanary)_(?:rest|grpc)"
    # Prometheus 3 writes the edge 200 as 200.0.
    edge = rf"(?:{latency_ms}(?:\\.0)?)?"
    return (
        f'{{__name__=~"{names}",envoy_cluster_name=~"(?:{clusters})?",le=~"{edge}",'
        f'envoy_response_code_class=~"4?"}}[{seconds}s]'
    )


def read_scrapes(samples: Iterable[Sample]) -> tuple[Scrape, ...]:
    """Group samples by scrape, oldest first; scrapes without Envoy's uptime are dropped."""
    uptimes: dict[float, float] = {}
    values: dict[float, dict[tuple[str, str], float]] = defaultdict(lambda: defaultdict(float))
    for sample in samples:
        name = sample.labels.get("__name__", "")
        if name == UPTIME:
            uptimes[sample.at] = sample.value
            continue
        cluster = sample.labels.get("envoy_cluster_name", "").rpartition("_")[0]
        if _CLIENT_ERROR.fullmatch(name):
            name = _CLASS
        values[sample.at][name, cluster] += sample.value
    return tuple(
        Scrape(
            at=at,
            uptime_seconds=uptimes[at],
            arms=tuple(_counters(arm, values[at]) for arm in ARMS),
        )
        for at in sorted(uptimes)
    )


def _counters(arm: Arm, values: Mapping[tuple[str, str], float]) -> ArmCounters:
    """Counters of one arm, REST and gRPC together.

    An error of an arm is a completed request that its own server did not answer successfully. So
    successful retries, requests that the fallback took while the server was ejected, and timeouts
    count as errors.
    """
    server = arm.replace("-", "")
    routed = server if arm.startswith("mirror") else f"{arm}fb"

    def value_of(name: str, cluster: str) -> int:
        return round(values.get((name, cluster), 0.0))

    requests = value_of(_COMPLETED, routed)
    unanswered = requests - value_of(_SERVED, server)
    timed = value_of(_TIMED, routed)
    return ArmCounters(
        arm=arm,
        requests=requests,
        errors=unanswered + value_of(_CLASS, routed),
        timed=timed,
        slow=timed - value_of(_WITHIN, routed),
    )
