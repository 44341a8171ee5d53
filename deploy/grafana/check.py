"""Asks a live Prometheus every question of the dashboard.

``python -m deploy.grafana.check http://127.0.0.1:9090`` prints each panel with the number of
series it would show, and fails when a query is refused.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import httpx

from deploy.grafana.board import FILE
from deploy.grafana.expressions import expressions
from streaming.contracts.errors import PermanentError, UnavailableError


class CommandReply(NamedTuple):
    """How many series one expression gives right now."""

    panel: str
    expr: str
    results: int


def answers(prometheus_url: str, file: Path = FILE) -> list[CommandReply]:
    """Every expression of the dashboard, evaluated now.

    Raises
    ------
    UnavailableError
        When Prometheus does not answer.
    PermanentError
        When it refuses an expression.
    """
    with httpx.Client(base_url=prometheus_url, timeout=10.0) as client:
        return [
            CommandReply(panel, expr, _results(client, expr)) for panel, expr in expressions(file)
        ]


def _results(client: httpx.Client, expr: str) -> int:
    try:
        answer = client.post("/api/v1/query", data={"query": expr})
        body = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise UnavailableError(
            f"Prometheus at {client.base_url} does not answer: {error}; start it."
        ) from error
    if body.get("status") != "success":
        raise PermanentError(f"Prometheus refuses {expr!r}: {body.get('error', body)}.")
    return len(body["data"]["result"])


if __name__ == "__main__":
    for one in answers(sys.argv[1]):
        sys.stdout.write(f"{one.results:4d}  {one.panel}: {one.expr}\n")
