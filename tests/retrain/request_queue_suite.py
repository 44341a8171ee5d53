"""The tests that every `RequestQueue` must pass: in memory and on Kafka."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from msgspec.structs import replace

from retrain.ports import RequestQueue
from streaming.contracts.records import RetrainRequest
from tests.retrain.builders import request


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSetup:
    """An empty queue: functions to add a request and to join as another worker."""

    put: Callable[[RetrainRequest], None]
    join: Callable[[], RequestQueue]
    timeout_seconds: float


def takes_in_order_and_keeps_until_done(setup: QueueSetup) -> None:
    queue = setup.join()
    assert queue.take(0.1) is None
    setup.put(request("a"))
    setup.put(request("b"))
    first = queue.take(setup.timeout_seconds)
    assert first == request("a")
    assert queue.take(0.1) == first, "it stays with its worker until it is done"
    assert queue.done(first)
    assert queue.take(setup.timeout_seconds) == request("b")
    queue.close()


def gives_a_request_to_one_worker_only(setup: QueueSetup) -> None:
    first, second = setup.join(), setup.join()
    setup.put(request("a"))
    held = first.take(setup.timeout_seconds) or second.take(setup.timeout_seconds)
    assert held == request("a")
    assert [w.take(0.5) for w in (first, second)].count(None) == 1
    first.close()
    second.close()


def hands_over_a_request_that_was_not_done(setup: QueueSetup) -> None:
    first = setup.join()
    setup.put(request("a"))
    assert first.take(setup.timeout_seconds) == request("a")
    first.close()
    second = setup.join()
    taken = second.take(setup.timeout_seconds)
    assert taken == request("a")
    assert second.done(request("a"))
    second.close()
    third = setup.join()
    assert third.take(1.0) is None, "a done request is given to no other worker"
    third.close()


def refuses_done_for_a_request_that_is_not_held(setup: QueueSetup) -> None:
    queue = setup.join()
    assert not queue.done(request("a"))
    queue.close()


def works_on_models_side_by_side_and_on_one_model_in_order(setup: QueueSetup) -> None:
    first, second = setup.join(), setup.join()
    of_taxi, of_fare = request("a", at=1.0), replace(request("c", at=3.0), model="fare")
    for each in (of_taxi, request("b", at=2.0), of_fare):
        setup.put(each)
    assert first.take(setup.timeout_seconds) == of_taxi
    assert second.take(setup.timeout_seconds) == of_fare, "b is of the model that first works on"
    assert first.holds(of_taxi)
    assert not first.holds(of_fare)
    assert second.done(of_fare)
    assert second.take(0.5) is None
    assert first.done(of_taxi)
    assert not first.holds(of_taxi)
    assert second.take(setup.timeout_seconds) == request("b", at=2.0)
    first.close()
    second.close()


SUITE: tuple[Callable[[QueueSetup], None], ...] = (
    takes_in_order_and_keeps_until_done,
    gives_a_request_to_one_worker_only,
    hands_over_a_request_that_was_not_done,
    refuses_done_for_a_request_that_is_not_held,
    works_on_models_side_by_side_and_on_one_model_in_order,
)
