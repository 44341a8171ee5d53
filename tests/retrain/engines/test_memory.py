"""The in-memory queue; the in-memory store is tested with the model store."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from retrain.engines.memory import InMemoryRequestQueue, InMemoryRequests
from tests.retrain.builders import request
from tests.retrain.request_queue_suite import SUITE, QueueSetup


@pytest.mark.parametrize("check", SUITE, ids=lambda check: check.__name__)
def test_the_request_queue_suite(check: Callable[[QueueSetup], None]) -> None:
    requests = InMemoryRequests()
    check(
        QueueSetup(
            put=requests.put, join=lambda: InMemoryRequestQueue(requests), timeout_seconds=0.0
        )
    )


def test_done_is_false_when_the_request_went_to_another_worker() -> None:
    requests = InMemoryRequests()
    requests.put(request("a"))
    first, second = InMemoryRequestQueue(requests), InMemoryRequestQueue(requests)
    assert first.take(0.0) is not None
    first.simulate_crash()
    assert second.take(0.0) == request("a")
    assert not first.done(request("a"))
    assert second.done(request("a"))
