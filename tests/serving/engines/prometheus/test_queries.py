"""One number from Prometheus for each query of a gate, from its wire format and from the engine."""

from __future__ import annotations

from typing import Any

import pytest

from serving.engines.prometheus import queries as queries_module
from serving.engines.prometheus.queries import PrometheusQueries, read_value
from serving.evidence.rules import EvidenceRules
from streaming.contracts.errors import GateFailedError, UnavailableError
from tests.serving.engines.conftest import serving_stack
from tests.serving.engines.hung_http import hung_server
from tests.serving.engines.serving_stack import ServingStack, free_ports

__all__ = ["serving_stack"]


def vector(*values: str) -> dict[str, Any]:
    return {"resultType": "vector",
            "result": [{"metric": {"n": str(n)}, "value": [1.0, v]}
                       for n, v in enumerate(values)]}  # fmt: skip


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (vector("0.25"), 0.25),
        (vector("-3e9"), -3e9),
        (vector(), None),
        (vector("NaN"), None),
        (vector("+Inf"), None),
        (vector("-Inf"), None),
        ({"resultType": "scalar", "result": [1.0, "7"]}, 7.0),
        ({"resultType": "scalar", "result": [1.0, "NaN"]}, None),
    ],
)
def test_one_number_or_none(data: dict[str, Any], value: float | None) -> None:
    assert read_value(data) == value


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (vector("1", "2"), "2 series"),
        ({"resultType": "matrix", "result": []}, "a matrix"),
        ({"resultType": "string", "result": [1.0, "x"]}, "a string"),
    ],
)
def test_anything_else_is_an_error(data: dict[str, Any], words: str) -> None:
    with pytest.raises(GateFailedError) as raised:
        read_value(data)
    assert words in str(raised.value)


def test_a_prometheus_that_does_not_answer_is_unavailable() -> None:
    (port,) = free_ports(1)
    queries = PrometheusQueries(f"http://127.0.0.1:{port}", EvidenceRules())
    with pytest.raises(UnavailableError):
        queries.value("up", now=0.0)
    queries.close()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"[" * 100_000,
        b'{"status": "success"}',
        b'{"status": "success", "data": []}',
        b'{"status": "success", "data": {"resultType": "scalar", "result": [1, "many"]}}',
        b'{"status": "success", "data": {"resultType": "scalar", "result": [1, null]}}',
        b'{"status": "success", "data": {"resultType": "vector", "result": [{}]}}',
        b'{"status": "success", "data": {"resultType": "vector", "result": [{"value": [1]}]}}',
        b'{"status": "success", "data": {"resultType": "vector", "result": [7]}}',
        b'{"status": "error"}',
    ],
)
def test_whatever_prometheus_answers_is_a_number_or_an_error(body: bytes) -> None:
    with hung_server() as server:
        server.body = body
        queries = PrometheusQueries(server.url, EvidenceRules())
        with pytest.raises((GateFailedError, UnavailableError)):
            queries.value("up", now=0.0)
        queries.close()


def test_an_answer_that_dribbles_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries_module, "TIMEOUT_SECONDS", 0.3)
    with hung_server() as server:
        server.behaviour = "dribbles-body"
        queries = PrometheusQueries(server.url, EvidenceRules())
        with pytest.raises(UnavailableError):
            queries.value("up", now=0.0)
        queries.close()


@pytest.mark.engine
def test_the_engine_gives_numbers_none_and_errors(serving_stack: ServingStack) -> None:
    queries = PrometheusQueries(serving_stack.prometheus_url, EvidenceRules())
    now = 1_700_000_000.0
    assert queries.value("vector(2.5)", now=now) == 2.5
    assert queries.value("scalar(vector(3))", now=now) == 3.0
    assert queries.value("no_such_series", now=now) is None
    assert queries.value("vector(0) / vector(0)", now=now) is None
    for query, words in (("sum(", "parse error"), ("up[5s]", "a matrix"), ('"text"', "a string")):
        with pytest.raises(GateFailedError) as raised:
            queries.value(query, now=now)
        assert words in str(raised.value)
    queries.close()
