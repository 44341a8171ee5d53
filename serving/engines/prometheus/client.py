"""Prometheus: its configuration, and the port `TrafficMetrics` on its query API."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from serving.engines.envoy.config import EnvoyLayout, Json
from serving.engines.envoy.names import CLUSTER_LABELS, SLICE_LABELS, model_in_names
from serving.engines.prometheus.counters import EnvoyCounters, Sample, by_model
from serving.engines.prometheus.promql import selector, to_scrapes
from serving.engines.shared_read import SharedRead, response_within
from serving.ports import Scrape
from streaming.contracts.errors import UnavailableError

MAX_CLOCK_JITTER = 2.0
"""Seconds by which the clock of Prometheus may differ without a correction."""


MAX_COUNT = 2.0**53
"""Counters are whole numbers, exact as floats below this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One process that Prometheus scrapes."""

    job: str
    address: str
    """host:port"""
    path: str = "/metrics"
    params: Mapping[str, Sequence[str]] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    """Scrape interval; 0 = the default interval."""
    relabel: tuple[Mapping[str, Any], ...] = ()
    """`metric_relabel_configs`."""


def serving_targets(layouts: Sequence[EnvoyLayout]) -> tuple[Target, ...]:
    """Envoy and the model servers of each model and role.

    Envoy's series get the labels ``model``, ``role`` and ``proto``, and ``slice`` where there is
    one. Envoy's duplicates of each histogram for internal and external traffic are dropped.
    """
    envoy = Target(
        job="envoy",
        address=f"{layouts[0].admin_host}:{layouts[0].admin_port}",
        path="/stats/prometheus",
        params={"usedonly": [""]},
        relabel=(
            {
                "source_labels": ["__name__"],
                "regex": "envoy_cluster_(external|internal)_.+",
                "action": "drop",
            },
            _label_from_cluster("role", "$1"),
            _label_from_cluster("proto", "$2"),
            *(_model_label(layout.model) for layout in layouts),
            _label_from_cluster("slice", "$1", SLICE_LABELS),
        ),
    )
    servers = tuple(
        Target(
            job="model",
            address=f"{end.host}:{end.rest_port}",
            path="/monitoring/prometheus/metrics",
            labels={"role": role, "model": layout.model},
        )
        for layout in layouts
        for role, end in (
            *layout.endpoints.items(),
            *([("labelled", layout.label_endpoint)] if layout.label_endpoint else []),
        )
    )
    return (envoy, *servers)


def write_config(
    path: Path,
    targets: Sequence[Target],
    *,
    rule_files: Sequence[str] = (),
    alertmanagers: Sequence[str] = (),
    external_labels: Mapping[str, str] | None = None,
    scrape_seconds: float = 1.0,
) -> Path:
    """Write ``prometheus.yml``; JSON, which is YAML too.

    Parameters
    ----------
    path:
        The file.
    targets:
        The processes to scrape; targets of one job must agree in path, params and relabelling.
    rule_files:
        Patterns of rule files.
    alertmanagers:
        host:port of each.
    external_labels:
        Known to the texts of alerts as ``$externalLabels``; alerts are sent without them.
    scrape_seconds:
        Interval of scrapes and rule evaluations; ejection checks cannot be faster.
    """
    seconds = _duration(scrape_seconds)
    config: Json = {
        "global": {
            "scrape_interval": seconds,
            "scrape_timeout": seconds,
            "evaluation_interval": seconds,
        },
        "rule_files": list(rule_files),
        "scrape_configs": [
            _scrape_config(job, [target for target in targets if target.job == job])
            for job in dict.fromkeys(target.job for target in targets)
        ],
    }
    if external_labels:
        config["global"]["external_labels"] = dict(external_labels)
    if alertmanagers:
        config["alerting"] = {
            "alertmanagers": [{"static_configs": [{"targets": list(alertmanagers)}]}],
            "alert_relabel_configs": [
                {"regex": name, "action": "labeldrop"} for name in external_labels or ()
            ],
        }
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(config, indent=1) + "\n")
    temporary.rename(path)
    return path


QUERY_SECONDS = 1.0
"""Prometheus answers within this time or is not waited for; a tick takes as long."""
SPANS_SECONDS = (5, 15, 60)
"""Lengths of what is read: callers whose latest scrapes differ by little ask for the same."""


class Reply(NamedTuple):
    """What Prometheus answered."""

    samples: Mapping[str, tuple[Sample, ...]]
    """By model, as in the names of clusters; those of no model (Envoy's uptime) under ""."""
    ahead_seconds: float | None
    """By how much its clock is ahead of ours; None when it does not tell."""


class PrometheusMetrics:
    """The port `TrafficMetrics` on a running Prometheus.

    One query serves every caller that asks at the same time, also for other models and through
    other objects if they were given the same `shared`; each takes the scrapes that are new to it.

    Parameters
    ----------
    url:
        For example ``http://127.0.0.1:9090``.
    model:
        The model whose requests are counted.
    latency_ms:
        The latency limit in milliseconds; an edge of Envoy's histogram.
    instance:
        Label ``instance`` of our Envoy: the address under which Prometheus scrapes it. Where it is
        not seen, the only Envoy with requests of the arms is read.
    shared:
        The queries that are shared; by default its own.
    """

    def __init__(
        self,
        url: str,
        *,
        model: str,
        latency_ms: int = 200,
        instance: str = "",
        shared: SharedRead[Reply] | None = None,
    ) -> None:
        self._model = model_in_names(model)
        self._latency_ms = latency_ms
        self._counters = EnvoyCounters(instance)
        self._offset = 0
        """Whole seconds by which the clock of Prometheus is ahead of ours; 0 where it hardly is."""
        self._client = httpx.Client(base_url=url, timeout=QUERY_SECONDS)
        self._shared = shared or shared_queries(url)

    def scrapes(self, *, since: float, now: float) -> tuple[Scrape, ...]:
        least = max(2, math.ceil(now - since) + 1)
        seconds = next((span for span in SPANS_SECONDS if span >= least), least)
        query, offset = selector(self._latency_ms, seconds), self._offset
        samples = self._query(query, now)
        if self._offset != offset:  # asked for the wrong time
            samples = self._query(query, now)
        shifted = (sample._replace(at=sample.at - self._offset) for sample in samples)
        read = self._counters.add(shifted)
        return to_scrapes(totals for totals in read if since < totals.at <= now)

    def notices(self) -> tuple[str, ...]:
        if not self._offset:
            return ()
        side = "ahead of" if self._offset > 0 else "behind"
        return (
            f"The clock of Prometheus is {abs(self._offset)} s {side} the controller's; the times "
            "of its scrapes are corrected. Synchronise the clocks.",
        )

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _query(self, query: str, now: float) -> tuple[Sample, ...]:
        """The samples, read now or by a caller that asked for the same at the same time."""
        at = now + self._offset
        key = (str(self._client.base_url), query, self._offset)
        reply = self._shared.get(key, lambda: self._read(query, at=at, now=now))
        ahead = reply.ahead_seconds
        if ahead is not None and abs(ahead - self._offset) > MAX_CLOCK_JITTER:
            self._offset = 0 if abs(ahead) <= MAX_CLOCK_JITTER else round(ahead)
        return (*reply.samples.get("", ()), *reply.samples.get(self._model, ()))

    def _read(self, query: str, *, at: float, now: float) -> Reply:
        data = {"query": query, "time": f"{at:.3f}"}
        try:
            body, date = response_within(
                self._client, "POST", "/api/v1/query", seconds=QUERY_SECONDS, data=data
            )
            answer = json.loads(body)
            if not isinstance(answer, dict):
                raise ValueError(f"it answers {answer!r:.60}")
        except (httpx.HTTPError, ValueError) as error:
            raise UnavailableError(
                f"Prometheus at {self._client.base_url} does not answer: {error}."
            ) from error
        if answer.get("status") != "success":
            raise UnavailableError(f"Prometheus refused the query: {answer.get('error', answer)}.")
        samples = (
            _sample(series["metric"], float(time), float(value), until=at)
            for series in answer["data"]["result"]
            for time, value in series["values"]
        )
        return Reply(by_model(samples), _ahead_seconds(date, now))


def _sample(labels: Mapping[str, str], at: float, value: float, *, until: float) -> Sample:
    """A sample that can be counted.

    One that cannot would stay in the totals, or hide every later scrape if it is from the future.
    """
    if not (0.0 <= value < MAX_COUNT and at <= until + MAX_CLOCK_JITTER and labels["__name__"]):
        raise UnavailableError(
            f"Prometheus gives {value:g} at {at:.0f} for {dict(labels)}; no counter of Envoy has "
            "that. Nothing is counted until it is gone."
        )
    return Sample(labels, at, value)


def _ahead_seconds(date: str, now: float) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp() + 0.5 - now  # it has whole seconds
    except ValueError:
        return None


def shared_queries(url: str) -> SharedRead[Reply]:
    """The queries that several `PrometheusMetrics` share."""
    return SharedRead(f"Prometheus at {url}", wait_seconds=QUERY_SECONDS + 0.2)


def _scrape_config(job: str, targets: Sequence[Target]) -> Json:
    first = targets[0]
    config: Json = {
        "job_name": job,
        "metrics_path": first.path,
        "static_configs": [
            {"targets": [target.address], "labels": dict(target.labels)} for target in targets
        ],
    }
    if first.params:
        config["params"] = {name: list(values) for name, values in first.params.items()}
    if first.seconds:
        config["scrape_interval"] = config["scrape_timeout"] = _duration(first.seconds)
    if first.relabel:
        config["metric_relabel_configs"] = [dict(rule) for rule in first.relabel]
    return config


def _label_from_cluster(label: str, value: str, clusters: str = CLUSTER_LABELS) -> Json:
    return {
        "source_labels": ["envoy_cluster_name"],
        "regex": clusters,
        "target_label": label,
        "replacement": value,
    }


def _model_label(model: str) -> Json:
    return {
        "source_labels": ["envoy_cluster_name"],
        "regex": f"[^_]+_(?:grpc|rest)__{model_in_names(model)}",
        "target_label": "model",
        "replacement": model,
    }


def _duration(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"
