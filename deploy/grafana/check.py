"""Evaluates every expression of the dashboards on a live Prometheus.

``python -m deploy.grafana.check http://127.0.0.1:9090`` prints each expression with its number of
series, and fails when Prometheus refuses one.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import httpx

from deploy.grafana.expressions import expressions
from streaming.contracts.errors import PermanentError, UnavailableError


class SeriesCount(NamedTuple):
    """Number of series of one expression at the time of the query."""

    panel: str
    expr: str
    results: int


def count_series(prometheus_url: str, *files: Path) -> list[SeriesCount]:
    """Evaluate every expression of these dashboards, by default of all.

    Raises
    ------
    UnavailableError
        When Prometheus cannot be reached.
    PermanentError
        When it refuses an expression.
    """
    with httpx.Client(base_url=prometheus_url, timeout=10.0) as client:
        return [
            SeriesCount(panel, expr, _results(client, expr)) for panel, expr in expressions(*files)
        ]


def _results(client: httpx.Client, expr: str) -> int:
    try:
        response = client.post("/api/v1/query", data={"query": expr})
        body = response.json()
    except (httpx.HTTPError, ValueError) as error:
        raise UnavailableError(
            f"Prometheus at {client.base_url} cannot be reached: {error}; start it."
        ) from error
    if body.get("status") != "success":
        raise PermanentError(f"Prometheus refuses {expr!r}: {body.get('error', body)}.")
    return len(body["data"]["result"])


if __name__ == "__main__":
    for count in count_series(sys.argv[1]):
        sys.stdout.write(f"{count.results:4d}  {count.panel}: {count.expr}\n")
