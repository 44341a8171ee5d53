"""The port `GateQueries` on Prometheus: one number for each query of a gate."""

from __future__ import annotations

import json
import math
from typing import Any

import httpx

from serving.engines.shared_read import response_within
from serving.evidence.rules import EvidenceRules
from streaming.contracts.errors import GateFailedError, UnavailableError

TIMEOUT_SECONDS = 2.0


class PrometheusQueries:
    """Evaluates users' queries on a running Prometheus.

    Parameters
    ----------
    url:
        For example ``http://127.0.0.1:9090``.
    rules:
        The gates.
    """

    def __init__(self, url: str, rules: EvidenceRules) -> None:
        self.rules = rules
        self._client = httpx.Client(base_url=url, timeout=TIMEOUT_SECONDS)

    def value(self, query: str, *, now: float) -> float | None:
        """See `GateQueries.value`."""
        data = {"query": query, "time": f"{now:.3f}", "timeout": f"{TIMEOUT_SECONDS:g}s"}
        try:
            content, _ = response_within(
                self._client, "POST", "/api/v1/query", seconds=TIMEOUT_SECONDS, data=data
            )
            body = json.loads(content)
        except (httpx.HTTPError, ValueError, RecursionError) as error:
            raise UnavailableError(
                f"Prometheus at {self._client.base_url} does not answer: {error}."
            ) from error
        if not isinstance(body, dict) or body.get("status") != "success":
            reason = body.get("error", body) if isinstance(body, dict) else body
            raise GateFailedError(f"Prometheus refused the query: {reason}.")
        try:
            return read_value(body["data"])
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise GateFailedError(
                f"The query gives {body.get('data')!r:.100} where one number is needed."
            ) from error

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def read_value(data: dict[str, Any]) -> float | None:
    """The one number of a query's result; None where it is empty, NaN or infinite.

    Raises
    ------
    GateFailedError
        When the result is not one number.

    Examples
    --------
    >>> read_value({"resultType": "vector", "result": [{"metric": {}, "value": [1.0, "2.5"]}]})
    2.5
    >>> read_value({"resultType": "vector", "result": []}) is None
    True
    """
    kind, result = data.get("resultType"), data.get("result")
    if kind == "scalar" and isinstance(result, list) and len(result) == 2:
        value = float(result[1])
    elif kind == "vector" and isinstance(result, list):
        if len(result) > 1:
            raise GateFailedError(
                f"The query gives {len(result)} series where one number is needed; use sum(…)."
            )
        if not result:
            return None
        value = float(result[0]["value"][1])
    else:
        raise GateFailedError(
            f"The query gives a {kind} where one number is needed; a range needs a function such "
            "as rate or increase."
        )
    return value if math.isfinite(value) else None
