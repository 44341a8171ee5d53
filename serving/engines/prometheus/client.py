"""Prometheus: its configuration, and the port `TrafficMetrics` on its query API."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from serving.engines.envoy.config import EnvoyLayout, Json
from serving.engines.prometheus.promql import Sample, read_scrapes, selector
from serving.ports import Scrape
from streaming.contracts.errors import UnavailableError

_CLUSTERS = "(stable|control|canary|shadow|mirrorcontrol|mirrorcanary)(?:fb)?_(grpc|rest)"


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


def serving_targets(layout: EnvoyLayout) -> tuple[Target, ...]:
    """Envoy and the model server of each role.

    Envoy's series get the labels ``role`` and ``proto``. Envoy's duplicates of each histogram for
    internal and external traffic are dropped.
    """
    envoy = Target(
        job="envoy",
        address=f"{layout.admin_host}:{layout.admin_port}",
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
        ),
    )
    servers = tuple(
        Target(
            job="model",
            address=f"{end.host}:{end.rest_port}",
            path="/monitoring/prometheus/metrics",
            labels={"role": role},
        )
        for role, end in layout.endpoints.items()
    )
    return (envoy, *servers)


def write_config(
    path: Path,
    targets: Sequence[Target],
    *,
    rule_files: Sequence[str] = (),
    alertmanagers: Sequence[str] = (),
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
    if alertmanagers:
        config["alerting"] = {
            "alertmanagers": [{"static_configs": [{"targets": list(alertmanagers)}]}]
        }
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(config, indent=1) + "\n")
    temporary.rename(path)
    return path


class PrometheusMetrics:
    """The port `TrafficMetrics` on a running Prometheus.

    Parameters
    ----------
    url:
        For example ``http://127.0.0.1:9090``.
    latency_ms:
        The latency limit in milliseconds; an edge of Envoy's histogram.
    """

    def __init__(self, url: str, *, latency_ms: int = 200) -> None:
        self._latency_ms = latency_ms
        self._client = httpx.Client(base_url=url, timeout=2.0)

    def scrapes(self, *, since: float, now: float) -> tuple[Scrape, ...]:
        seconds = max(2, math.ceil(now - since) + 1)
        query = selector(self._latency_ms, seconds)
        scrapes = read_scrapes(self._samples(query, now))
        return tuple(scrape for scrape in scrapes if since < scrape.at <= now)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _samples(self, query: str, now: float) -> Iterator[Sample]:
        try:
            response = self._client.post(
                "/api/v1/query", data={"query": query, "time": f"{now:.3f}"}
            )
            body = response.json()
        except (httpx.HTTPError, ValueError) as error:
            raise UnavailableError(
                f"Prometheus at {self._client.base_url} does not answer: {error}."
            ) from error
        if body.get("status") != "success":
            raise UnavailableError(f"Prometheus refused the query: {body.get('error', body)}.")
        for series in body["data"]["result"]:
            for at, value in series["values"]:
                yield Sample(series["metric"], float(at), float(value))


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


def _label_from_cluster(label: str, value: str) -> Json:
    return {
        "source_labels": ["envoy_cluster_name"],
        "regex": _CLUSTERS,
        "target_label": label,
        "replacement": value,
    }


def _duration(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"
