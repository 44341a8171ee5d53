"""An insufficient evaluation waits for rows: no failure, no back-off, a deadline and ways out."""

from __future__ import annotations

import msgspec
import pytest

from retrain.state import TriggerState
from streaming.contracts.codec import decode, encode
from streaming.contracts.records import RetrainFailure
from tests.retrain.builders import MODEL, RULES, model_version, promotion, retrain_command, verdict
from tests.retrain.trigger_driver import TriggerDriver, shifted_driver


def insufficient(
    request_id: str, at: float, *, rows: int = 100, needed: int = 200
) -> RetrainFailure:
    return RetrainFailure(
        record_id=f"f-{request_id}",
        model=MODEL,
        at=at,
        request_id=request_id,
        component="Blessing",
        reason="Insufficient: the interval is wide.",
        advice="Wait.",
        outcome="insufficient",
        rows=rows,
        rows_needed=needed,
    )


def waiting_driver(needed: int = 200) -> TriggerDriver:
    """A driver after a shift whose first retrain had 100 rows and asked for more."""
    driver, request = shifted_driver()
    return driver.receive(insufficient(request.record_id, 140.0, needed=needed))


def test_it_is_no_failure_and_the_next_retrain_starts_with_the_rows_that_were_asked_for() -> None:
    driver = waiting_driver()
    assert (driver.state.failures, driver.state.running) == (0, None)
    driver.wait(1_000.0)
    assert len(driver.requests) == 1, "it waits for rows, whatever time passes"
    assert "of 200 labelled rows so far" in driver.replies[-1].reason
    assert driver.replies[-1].reason.startswith("Waiting: ")
    driver.receive(verdict(13, "drifted"))
    assert len(driver.requests) == 1
    driver.receive(verdict(14, "drifted"))
    assert len(driver.requests) == 2, "no back-off and no cool-down in between"
    assert driver.state.wait_for_rows is None
    assert driver.state.failures == 0


def test_labels_are_counted_and_not_only_rows() -> None:
    driver = waiting_driver()
    driver.labels.count = 150
    driver.receive(*(verdict(n, "drifted") for n in range(13, 20)))
    assert len(driver.requests) == 1
    driver.labels.count = 200
    driver.wait(1.0)
    assert len(driver.requests) == 2


def test_rows_that_never_come_end_the_wait_as_one_failure() -> None:
    driver = waiting_driver()
    driver.wait(RULES.more_rows_seconds + 1.0)
    assert (driver.state.failures, driver.state.wait_for_rows) == (1, None)
    assert "did not arrive within 86400 s" in driver.replies[-2].reason
    driver.wait(RULES.cooldown_seconds)
    assert len(driver.requests) == 2, "after the back-off the usual number of rows is enough"


def test_a_person_does_not_wait() -> None:
    driver = waiting_driver().receive(retrain_command("c1", at=150.0))
    assert len(driver.requests) == 2
    assert driver.state.wait_for_rows is None


def test_a_promotion_and_the_end_of_the_shift_end_the_wait() -> None:
    promoted = waiting_driver().receive(promotion(2, 150.0, replaced=1))
    assert promoted.state.wait_for_rows is None
    over = waiting_driver().receive(verdict(13), verdict(14)).wait(0.0)
    assert over.state.shift is None
    assert (over.state.wait_for_rows, over.state.failures) == (None, 0)


def test_rows_of_another_shift_are_not_waited_for() -> None:
    driver = waiting_driver(needed=10_000)
    wait = driver.state.wait_for_rows
    assert wait is not None
    driver.receive(verdict(13), verdict(14))
    driver.receive(verdict(15, "drifted"), verdict(16, "drifted"), verdict(17, "drifted"))
    driver.wait(0.0)
    assert len(driver.requests) == 2, "the new shift needs the usual number"


@pytest.mark.parametrize(
    ("rows", "needed", "waits_for"),
    [(100, 10_000_000, 400), (200_000, 10_000_000, 560_000), (100, 690_000, 560_000)],
)
def test_an_estimate_from_few_rows_is_no_reason_to_give_up(
    rows: int, needed: int, waits_for: int
) -> None:
    """A retrain replays 700,000 rows after a shift at most; a fifth may still lack its labels."""
    driver, request = shifted_driver()
    driver.receive(insufficient(request.record_id, 140.0, rows=rows, needed=needed))
    wait = driver.state.wait_for_rows
    assert wait is not None
    assert (wait.rows, driver.state.failures) == (waits_for, 0)


def test_more_rows_than_a_retrain_replays_are_a_failure_once_it_had_nearly_all() -> None:
    driver, request = shifted_driver()
    driver.receive(insufficient(request.record_id, 140.0, rows=600_000, needed=10_000_000))
    assert (driver.state.failures, driver.state.wait_for_rows) == (1, None)
    assert "a retrain replays 700000 at most" in driver.replies[-1].reason


def test_a_repeated_record_and_one_of_another_request_change_nothing() -> None:
    driver = waiting_driver()
    state = driver.state
    driver.receive(insufficient("other", 150.0))
    assert driver.state == state
    driver.receive(insufficient(state.wait_for_rows.request_id if state.wait_for_rows else "", 150))
    assert driver.state == state


def test_the_next_evaluation_asks_for_more_than_it_had() -> None:
    driver, request = shifted_driver()
    driver.receive(insufficient(request.record_id, 140.0, rows=100, needed=0))
    wait = driver.state.wait_for_rows
    assert wait is not None
    assert wait.rows == 101


def test_a_failure_still_doubles_the_back_off() -> None:
    driver = waiting_driver().receive(verdict(13, "drifted"), verdict(14, "drifted"))
    driver.receive(model_version(2, driver.requests[1].record_id, blessed=False, at=200.0))
    assert driver.state.failures == 1


@pytest.mark.parametrize("name", ["wait_for_rows"])
def test_a_state_of_an_older_release_is_read(name: str) -> None:
    data = msgspec.to_builtins(TriggerState(model=MODEL))
    del data[name]
    assert msgspec.convert(data, TriggerState) == TriggerState(model=MODEL)


def test_a_failure_of_an_older_release_is_read_as_a_failure() -> None:
    record = insufficient("r", 1.0)
    assert decode(encode(record)) == record
    data = msgspec.json.decode(encode(record))
    for name in ("outcome", "rows", "rows_needed", "evaluation", "rules_digest"):
        del data[name]
    old = decode(msgspec.json.encode(data))
    assert isinstance(old, RetrainFailure)
    assert (old.outcome, old.rows_needed, old.evaluation) == ("failed", 0, ())


def probed_driver() -> TriggerDriver:
    """A driver whose learning curve asked for twice the rows."""
    driver, request = shifted_driver()
    assert not request.waited
    record = insufficient(request.record_id, 140.0, needed=200)
    return driver.receive(msgspec.structs.replace(record, component="Examples"))


def test_a_learning_curve_waits_for_rows_and_the_next_request_does_not_ask_again() -> None:
    driver = probed_driver()
    assert (driver.state.failures, len(driver.requests)) == (0, 1)
    driver.receive(verdict(13, "drifted"), verdict(14, "drifted"))
    assert len(driver.requests) == 2
    assert driver.requests[1].waited


def test_rows_that_a_curve_asked_for_and_that_never_come_are_no_failure() -> None:
    driver = probed_driver().wait(RULES.probe_wait_seconds + 1.0)
    assert driver.state.failures == 0
    assert len(driver.requests) == 2, "it is trained on what there is"
    assert driver.requests[1].waited
