"""Cancelling a retrain: the trigger's side; the worker's is in `test_worker`."""

from __future__ import annotations

from msgspec.structs import replace

from streaming.contracts.records import Command, RetrainFailure
from tests.retrain.builders import RULES, retrain_command, verdict
from tests.retrain.trigger_driver import TriggerDriver, live_driver, shifted_driver


def order(name: str, driver: TriggerDriver, *, subject: str = "") -> Command:
    command = retrain_command(name, at=driver.now)
    return replace(command, action="cancel-retrain", subject=subject)


def failures(driver: TriggerDriver) -> list[RetrainFailure]:
    return [record for record in driver.published if isinstance(record, RetrainFailure)]


def test_a_cancelled_retrain_ends_at_once_without_counting_as_a_failure() -> None:
    driver, request = shifted_driver()
    driver.receive(order("c1", driver))
    (failure,) = failures(driver)
    assert (failure.outcome, failure.request_id) == ("cancelled", request.record_id)
    assert failure.caused_by == (request.record_id, "c1")
    assert failure.reason == "Cancelled by ana: tips look odd."
    assert driver.replies[-1].accepted
    assert driver.state.running is None
    assert driver.state.failures == 0
    before = driver.state
    driver.receive(failure)
    assert driver.state == before, "its own record changes nothing"


def test_the_cause_that_is_still_there_starts_the_next_one_after_the_cool_down() -> None:
    driver, first = shifted_driver()
    driver.receive(order("c1", driver), verdict(14, "drifted"))
    assert driver.requests == [first]
    assert "Cooling down" in driver.replies[-1].reason
    driver.wait(RULES.cooldown_seconds + 1.0)
    assert len(driver.requests) == 2
    assert driver.requests[1].record_id != first.record_id


def test_an_order_twice_cancels_once_and_nothing_else() -> None:
    driver, _ = shifted_driver()
    twice = order("c1", driver)
    driver.receive(twice, twice)
    assert len(failures(driver)) == 1
    driver.receive(order("c2", driver))
    assert len(failures(driver)) == 1
    assert not driver.replies[-1].accepted
    assert driver.replies[-1].reason == "No retrain of taxi is queued or running."


def test_another_request_or_an_old_order_is_refused() -> None:
    driver, request = shifted_driver()
    driver.receive(order("c1", driver, subject="another"))
    assert driver.replies[-1].reason.startswith("Conflict: retrain")
    driver.now += 7_200.0
    driver.receive(replace(order("c2", driver), at=driver.now - 7_000.0))
    assert driver.replies[-1].reason.startswith("Out of date")
    assert failures(driver) == []
    assert driver.state.running is not None
    assert driver.state.running.request_id == request.record_id


def test_nothing_runs_nothing_is_cancelled() -> None:
    driver = live_driver()
    driver.receive(order("c1", driver))
    assert failures(driver) == []
