"""One query serves all models, and a Prometheus that hangs holds nobody up for long."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import pytest

from serving.engines.prometheus.client import QUERY_SECONDS, PrometheusMetrics, shared_queries
from serving.engines.prometheus.counters import UPTIME
from serving.ports import Scrape
from streaming.contracts.errors import UnavailableError
from tests.serving.engines.hung_http import Behaviour, hung_server

NOW = 1_000.0
Ask = Callable[[PrometheusMetrics], tuple[Scrape, ...]]


def answer(*times: float) -> bytes:
    series = {"metric": {"__name__": UPTIME}, "values": [[at, "5"] for at in times]}
    return json.dumps({"status": "success", "data": {"result": [series]}}).encode()


@contextmanager
def sharing(
    url: str, count: int, latencies: Sequence[int] = ()
) -> Iterator[list[PrometheusMetrics]]:
    """Clients that share their queries."""
    shared = shared_queries(url)
    with ExitStack() as stack:
        clients = [
            PrometheusMetrics(url, model=f"m{number}", latency_ms=latency_ms, shared=shared)
            for number, latency_ms in enumerate(latencies or [200] * count)
        ]
        for client in clients:
            stack.callback(client.close)
        yield clients


def side_by_side(
    clients: list[PrometheusMetrics], ask: Ask
) -> tuple[list[tuple[Scrape, ...] | UnavailableError], float]:
    """What each client gets when all ask at once, and how long the slowest waited."""
    results: list[tuple[Scrape, ...] | UnavailableError] = []
    slowest: list[float] = []

    def run(client: PrometheusMetrics) -> None:
        started = time.monotonic()
        try:
            results.append(ask(client))
        except UnavailableError as error:
            results.append(error)
        slowest.append(time.monotonic() - started)

    threads = [threading.Thread(target=run, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results, max(slowest)


def test_fifty_models_that_ask_at_once_share_one_query() -> None:
    with hung_server() as server:
        server.body = answer(NOW - 3.0, NOW - 2.0, NOW - 1.0)
        with sharing(server.url, 50) as clients:
            results, _ = side_by_side(
                clients, lambda client: client.scrapes(since=NOW - 2.5, now=NOW)
            )
        assert server.requests == 1
    for scrapes in results:
        assert isinstance(scrapes, tuple)
        assert [scrape.at for scrape in scrapes] == [NOW - 2.0, NOW - 1.0]


def test_each_takes_what_is_new_to_it() -> None:
    with hung_server() as server:
        server.body = answer(*(NOW - age for age in (4.0, 3.0, 2.0, 1.0)))
        with sharing(server.url, 3) as clients:
            counts = [
                len(client.scrapes(since=NOW - age - 0.5, now=NOW))
                for age, client in enumerate(clients, start=1)
            ]
        assert (counts, server.requests) == ([1, 2, 3], 1)


def test_another_latency_limit_is_another_query() -> None:
    with hung_server() as server:
        server.body = answer(NOW - 1.0)
        with sharing(server.url, 3, (200, 100, 200)) as clients:
            for client in clients:
                assert client.scrapes(since=NOW - 2.0, now=NOW)
        assert server.requests == 2


@pytest.mark.parametrize(
    "behaviour", ["hangs", "dribbles-headers", "dribbles-body", "breaks-off", "rubbish"]
)
def test_whatever_is_wrong_is_an_error_within_its_time(behaviour: Behaviour) -> None:
    with hung_server() as server:
        server.behaviour = behaviour
        with sharing(server.url, 50) as clients:
            results, slowest = side_by_side(
                clients, lambda client: client.scrapes(since=NOW - 2.0, now=NOW)
            )
        assert all(isinstance(result, UnavailableError) for result in results)
        assert slowest < QUERY_SECONDS + 1.5
        assert server.requests <= 2


def body_of(value: str, at: float = NOW - 1.0, **labels: str) -> bytes:
    """One counter of Envoy beside its uptime."""
    metric = {"__name__": "envoy_cluster_upstream_rq_completed", **labels}
    counter = {"metric": metric, "values": [[at, value]]}
    whole = json.loads(answer(NOW - 1.0))
    whole["data"]["result"].append(counter)
    return json.dumps(whole).encode()


@pytest.mark.parametrize(
    "body",
    [
        *(body_of(value) for value in ("NaN", "+Inf", "-Inf", "-1", "1e300", "many", "")),
        body_of("5", at=NOW + 3_600.0),
        body_of("5", at=float("nan")),
        body_of("5", __name__=""),
        answer(NOW - 1.0)[:-9],
        b'{"status": "success"}',
        b'{"status": "success", "data": null}',
        b'{"status": "success", "data": {"result": {"a": 1}}}',
        b'{"status": "success", "data": {"result": [{"metric": {}, "values": [[1, "2"]]}]}}',
        b'{"status": "success", "data": {"result": [{"metric": null, "values": [[1, "2"]]}]}}',
        b'{"status": "success", "data": {"result": [{"metric": {}, "values": [[1]]}]}}',
        b"[" * 100_000,
        b"",
    ],
)
def test_what_no_counter_has_is_an_error_and_forgotten_once_it_is_gone(body: bytes) -> None:
    with hung_server() as server:
        for _ in range(2):  # each with its own queries: a failure is told again for a moment
            server.body = body
            client = PrometheusMetrics(server.url, model="m")
            with pytest.raises(UnavailableError):
                client.scrapes(since=NOW - 2.0, now=NOW)
            server.body = answer(NOW - 1.0)
            client._shared = shared_queries(server.url)
            (scrape,) = client.scrapes(since=NOW - 2.0, now=NOW)
            assert scrape.at == NOW - 1.0
            client.close()


def test_after_a_failure_the_next_answer_comes_once_prometheus_is_back() -> None:
    with hung_server() as server, sharing(server.url, 1) as (client,):
        server.body, server.behaviour = answer(NOW - 1.0), "breaks-off"
        with pytest.raises(UnavailableError):
            client.scrapes(since=NOW - 2.0, now=NOW)
        server.behaviour = "normal"
        with pytest.raises(UnavailableError):  # it is left alone for a moment
            client.scrapes(since=NOW - 2.0, now=NOW)
        deadline = time.monotonic() + 10.0
        while True:
            try:
                assert client.scrapes(since=NOW - 2.0, now=NOW)
                break
            except UnavailableError:
                assert time.monotonic() < deadline
                time.sleep(0.1)


def test_one_that_is_not_there_is_an_error() -> None:
    with hung_server() as server:
        url = server.url
    with (
        sharing(url, 1) as (client,),
        pytest.raises(UnavailableError, match="does not answer"),
    ):
        client.scrapes(since=NOW - 2.0, now=NOW)
