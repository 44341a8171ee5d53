"""The Prometheus query of the gates: one selector, and the conversion of samples to counters.

One range selector returns every raw sample with the time of its scrape. All numbers of one instant
are thus compared with each other, however late they are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from serving.engines.envoy.slice_routes import NAMES, slice_of
from serving.engines.prometheus import client_errors
from serving.engines.prometheus.counters import UPTIME, EnvoyCounters, Sample, Totals
from serving.ports import ARMS, Arm, ArmCounters, Scrape, SliceCounters

_COMPLETED = "envoy_cluster_upstream_rq_completed"
_SERVED = "envoy_cluster_endpoint_rq_success"
_TIMED = "envoy_cluster_upstream_rq_time_count"
_WITHIN = "envoy_cluster_upstream_rq_time_bucket"
_RETRIED = "envoy_cluster_upstream_rq_retry"
_UNTRIED = "envoy_cluster_upstream_rq_retry_overflow"
"""Failed tries that the retry budget did not let be tried again."""

__all__ = ["Sample", "read_scrapes", "selector", "to_scrapes"]


def selector(latency_ms: int, seconds: int) -> str:
    """All counters of the arms of every model over the last `seconds`.

    >>> selector(200, 5).endswith('[5s]')
    True
    """
    retries = (_RETRIED, _UNTRIED)
    names = "|".join((UPTIME, _COMPLETED, _SERVED, _TIMED, _WITHIN, *retries, *client_errors.NAMES))
    arms = f"(?:stable|control|canary)(?:fb{NAMES})?"
    clusters = f"(?:{arms}|mirrorcontrol|mirrorcanary)_(?:rest|grpc)__.+"
    # Prometheus 3 writes the edge 200 as 200.0.
    edge = rf"(?:{latency_ms}(?:\\.0)?)?"
    return (
        f'{{__name__=~"{names}",envoy_cluster_name=~"(?:{clusters})?",le=~"{edge}",'
        f'envoy_response_code_class=~"[24]?"}}[{seconds}s]'
    )


def read_scrapes(samples: Iterable[Sample]) -> tuple[Scrape, ...]:
    """Group samples by scrape, oldest first; scrapes without Envoy's uptime are dropped.

    Raises `UnavailableError` when two Envoys report at the same time.
    """
    return to_scrapes(EnvoyCounters().add(samples))


def to_scrapes(read: Iterable[Totals]) -> tuple[Scrape, ...]:
    """Totals as the counters of the arms."""
    scrapes = []
    for totals in read:
        values = _by_slice(totals.values)
        arms = tuple(_counters(arm, values) for arm in ARMS)
        scrapes.append(Scrape(at=totals.at, uptime_seconds=totals.uptime_seconds, arms=arms))
    return tuple(scrapes)


_Values = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Counters by arm or server, slice (empty for none) and name."""


def _by_slice(values: Mapping[tuple[str, str], float]) -> _Values:
    sorted_values: dict[str, dict[str, dict[str, float]]] = {}
    for (name, cluster), value in values.items():
        arm, slice_name = slice_of(cluster)
        sorted_values.setdefault(arm, {}).setdefault(slice_name, {})[name] = value
    return sorted_values


def _counters(arm: Arm, values: _Values) -> ArmCounters:
    """Counters of one arm, REST and gRPC together.

    An error of an arm is a completed request that its own server did not answer successfully. So
    successful retries, requests that the fallback took while the server was ejected, and timeouts
    count as errors. The server answers all slices, so an error of a slice is a try that failed.
    """
    server = arm.replace("-", "")
    by_slice = values.get(server if arm.startswith("mirror") else f"{arm}fb", {})
    served = values.get(server, {}).get("", {}).get(_SERVED, 0.0)

    def total(name: str) -> int:
        return round(sum(counters.get(name, 0.0) for counters in by_slice.values()))

    requests = total(_COMPLETED)
    timed = total(_TIMED)
    return ArmCounters(
        arm=arm,
        requests=requests,
        errors=requests - round(served) + total(client_errors.REFUSED),
        timed=timed,
        slow=timed - total(_WITHIN),
        slices=tuple(_slice(name, by_slice[name]) for name in sorted(by_slice) if name),
    )


def _slice(name: str, counters: Mapping[str, float]) -> SliceCounters:
    def value_of(counter: str) -> int:
        return round(counters.get(counter, 0.0))

    timed = value_of(_TIMED)
    return SliceCounters(
        name=name,
        requests=value_of(_COMPLETED),
        errors=value_of(_RETRIED) + value_of(_UNTRIED) + value_of(client_errors.REFUSED),
        timed=timed,
        slow=timed - value_of(_WITHIN),
    )
