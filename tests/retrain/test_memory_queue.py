from __future__ import annotations

from collections.abc import Callable

import pytest

from retrain.engines.memory import MemoryQueue, Requests
from tests.retrain.builders import request
from tests.retrain.queue_suite import SUITE, Bench


@pytest.mark.parametrize("check", SUITE, ids=lambda check: check.__name__)
def test_the_suite_of_queues(check: Callable[[Bench], None]) -> None:
    requests = Requests()
    bench = Bench(put=requests.put, join=lambda: MemoryQueue(requests), patience_seconds=0.0)
    check(bench)


def test_a_worker_that_lost_its_request_learns_it() -> None:
    requests = Requests()
    requests.put(request("a"))
    first, second = MemoryQueue(requests), MemoryQueue(requests)
    assert first.take(0.0) is not None
    first.lose()
    assert second.take(0.0) == request("a")
    assert not first.done(request("a"))
    assert second.done(request("a"))
