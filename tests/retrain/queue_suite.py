"""What every `RequestQueue` must do; the double in memory and Kafka both pass it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from retrain.ports import RequestQueue
from streaming.contracts.records import RetrainRequest
from tests.retrain.builders import request


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """An empty queue: how to put something in, and how to come as one more worker."""

    put: Callable[[RetrainRequest], None]
    join: Callable[[], RequestQueue]
    patience_seconds: float


def takes_in_order_and_keeps_until_done(bench: Bench) -> None:
    queue = bench.join()
    assert queue.take(0.1) is None
    bench.put(request("a"))
    bench.put(request("b"))
    first = queue.take(bench.patience_seconds)
    assert first == request("a")
    assert queue.take(0.1) == first, "it stays ours until it is done"
    assert queue.done(first)
    assert queue.take(bench.patience_seconds) == request("b")
    queue.close()


def gives_a_request_to_one_worker_only(bench: Bench) -> None:
    first, second = bench.join(), bench.join()
    bench.put(request("a"))
    held = first.take(bench.patience_seconds) or second.take(bench.patience_seconds)
    assert held == request("a")
    assert [w.take(0.5) for w in (first, second)].count(None) == 1
    first.close()
    second.close()


def hands_over_what_was_not_done(bench: Bench) -> None:
    first = bench.join()
    bench.put(request("a"))
    assert first.take(bench.patience_seconds) == request("a")
    first.close()
    second = bench.join()
    taken = second.take(bench.patience_seconds)
    assert taken == request("a")
    assert second.done(request("a"))
    second.close()
    third = bench.join()
    assert third.take(1.0) is None, "what is done is given to nobody"
    third.close()


def refuses_done_for_what_is_not_held(bench: Bench) -> None:
    queue = bench.join()
    assert not queue.done(request("a"))
    queue.close()


SUITE: tuple[Callable[[Bench], None], ...] = (
    takes_in_order_and_keeps_until_done,
    gives_a_request_to_one_worker_only,
    hands_over_what_was_not_done,
    refuses_done_for_what_is_not_held,
)
