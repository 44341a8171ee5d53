"""Samples of counters to running totals of one model behind one Envoy, kept between queries.

Prometheus has one series per label set: a server that returns under a new address is a new series
from 0, and the old one ends. Totals therefore add up the increments of every series, with resets,
and never the values. A scrape that lacks a series of the one before is left out, until the series
has been away for some scrapes: its total then stays. Samples of another Envoy are not counted.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import NamedTuple

from serving.engines.envoy.names import arm_and_model
from serving.engines.prometheus import client_errors
from streaming.contracts.errors import UnavailableError

UPTIME = "envoy_server_uptime"
AWAY_SCRAPES = 3
"""Consecutive scrapes that may lack a series before it counts as ended."""

_RESTART_SLACK_SECONDS = 3.0
_FORGOTTEN_SECONDS = 60.0
_KEPT = 2_000


class Sample(NamedTuple):
    """One raw sample: labels (with ``__name__``), time of the scrape, value."""

    labels: Mapping[str, str]
    at: float
    value: float


def by_model(samples: Iterable[Sample]) -> dict[str, tuple[Sample, ...]]:
    """The samples of each model's clusters, in their order; those of no cluster under ""."""
    grouped: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        cluster = sample.labels.get("envoy_cluster_name", "")
        grouped[arm_and_model(cluster)[1] if cluster else ""].append(sample)
    return {model: tuple(own) for model, own in grouped.items()}


class Totals(NamedTuple):
    """The totals at one scrape, by metric name and cluster."""

    at: float
    uptime_seconds: float
    values: Mapping[tuple[str, str], float]


_Series = tuple[tuple[str, str], ...]


class EnvoyCounters:
    """Running totals of the arms of one model behind one Envoy.

    Parameters
    ----------
    instance:
        Label ``instance`` of our own Envoy. Once it has been seen, no other one is read. Empty:
        the only one that has requests of the arms.
    """

    def __init__(self, instance: str = "") -> None:
        self._instance = instance
        self._seen = False
        self._spans: dict[str, tuple[float, float]] = {}
        self._last: dict[_Series, float] = {}
        self._away: dict[_Series, int] = {}
        self._totals: dict[tuple[str, str], float] = defaultdict(float)
        self._started: float | None = None
        self._read: deque[Totals] = deque(maxlen=_KEPT)
        self.incomplete = 0
        """Number of scrapes left out because a series was missing."""

    def add(self, samples: Iterable[Sample]) -> tuple[Totals, ...]:
        """Add the samples that are new, and return the latest totals, oldest first.

        Raises `UnavailableError` when two Envoys report at the same time.
        """
        uptimes: dict[float, float] = {}
        scrapes: dict[float, dict[_Series, float]] = defaultdict(dict)
        for sample in self._own(list(samples)):
            if sample.labels.get("__name__") == UPTIME:
                uptimes[sample.at] = sample.value
            else:
                scrapes[sample.at][tuple(sorted(sample.labels.items()))] = sample.value
        read_until = self._read[-1].at if self._read else float("-inf")
        for at in sorted(uptimes):
            if at > read_until:
                self._scrape(at, uptimes[at], scrapes[at])
        return tuple(self._read)

    def _scrape(self, at: float, uptime: float, series: dict[_Series, float]) -> None:
        started = at - uptime
        if self._started is None or abs(started - self._started) > _RESTART_SLACK_SECONDS:
            self._last, self._away, self._totals = {}, {}, defaultdict(float)
            self._started = started
        missing = [key for key in self._last if key not in series]
        for key in missing:
            self._away[key] = self._away.get(key, 0) + 1
        if any(self._away[key] <= AWAY_SCRAPES for key in missing):
            self.incomplete += 1
            return
        refused: dict[str, float] = defaultdict(float)
        for key, value in series.items():
            before = self._last.get(key, 0.0)
            labels = dict(key)
            name, cluster = labels["__name__"], labels.get("envoy_cluster_name", "")
            more = value - (before if value >= before else 0.0)
            self._totals[name, arm_and_model(cluster)[0]] += more
            refused[cluster] += more * client_errors.sign(labels)
            self._last[key] = value
            self._away.pop(key, None)
        for cluster, more in refused.items():
            self._totals[client_errors.REFUSED, arm_and_model(cluster)[0]] += max(0.0, more)
        self._read.append(Totals(at, uptime, dict(self._totals)))

    def _remember(self, alive: Mapping[str, list[float]]) -> None:
        """Note when each Envoy reported, over the last minute."""
        for instance, times in alive.items():
            first, last = self._spans.get(instance, (min(times), max(times)))
            self._spans[instance] = (min(first, *times), max(last, *times))
        newest = max((last for _, last in self._spans.values()), default=0.0)
        self._spans = {
            instance: span
            for instance, span in self._spans.items()
            if span[1] > newest - _FORGOTTEN_SECONDS
        }

    def _own(self, samples: list[Sample]) -> list[Sample]:
        """The samples of our Envoy, of one job."""
        alive: dict[str, list[float]] = {}
        used: set[str] = set()
        for sample in samples:
            instance = sample.labels.get("instance", "")
            if sample.labels.get("__name__") == UPTIME:
                alive.setdefault(instance, []).append(sample.at)
            elif sample.labels.get("envoy_cluster_name"):
                used.add(instance)
        if self._instance in alive:
            self._seen = True
        if self._instance and self._seen:
            chosen = {self._instance}
        else:
            chosen = set(alive) if len(alive) == 1 else set(alive) & used
            self._remember({instance: alive[instance] for instance in chosen})
            _refuse_two(self._spans)
        own = [sample for sample in samples if sample.labels.get("instance", "") in chosen]
        job = min((sample.labels.get("job", "") for sample in own), default="")
        return [sample for sample in own if sample.labels.get("job", "") == job]


def _refuse_two(spans: Mapping[str, tuple[float, float]]) -> None:
    """Raise when Envoys reported in turns; one after the other is a change of address."""
    ordered = sorted((first, last, instance) for instance, (first, last) in spans.items())
    for (_, end, first), (begin, _, second) in pairwise(ordered):
        if begin <= end:
            raise UnavailableError(
                f"Two Envoys report requests of the same arms to Prometheus: {first} and "
                f"{second}. Nothing is counted until Prometheus scrapes only ours."
            )
