"""The trigger and broken data: a few bad rows stop nothing, persistent ones stop retrains."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from retrain.policy import RetrainRules
from streaming.contracts.records import DriftVerdict, RejectedField, SchemaAnomaly
from streaming.contracts.tolerance import Tolerance
from tests.retrain.builders import RULES, promotion, retrain_command, verdict
from tests.retrain.trigger_driver import TriggerDriver

ROWS = 2_000
DRIFTED = range(10, 16)


def anomaly(code: str, feature: str = "fare", rows: int | None = None) -> SchemaAnomaly:
    return SchemaAnomaly(feature=feature, code=code, detail="", rows=rows)


def live_driver(rules: RetrainRules = RULES) -> TriggerDriver:
    driver = TriggerDriver(rules=rules).receive(promotion(1, 1.0, change="initial"))
    return driver.receive(*(verdict(n, rows=ROWS) for n in range(10))).wait(0.0)


def drifted(number: int, *anomalies: SchemaAnomaly, rejected: int = 0) -> DriftVerdict:
    """A drifted window with anomalies, and with events that lack a required field."""
    window = verdict(number, "drifted", rows=ROWS, dead=rejected, anomalies=anomalies)
    fields = (RejectedField(feature="fare", value_kind="", rows=rejected),) if rejected else ()
    return replace(window, rejected_fields=fields)


@pytest.mark.parametrize(
    "bad",
    [
        lambda n: drifted(n, anomaly("FEATURE_TYPE_LOW_FRACTION_PRESENT", rows=1)),
        lambda n: drifted(n, anomaly("FLOAT_TYPE_SMALL_FLOAT", rows=1)),
        lambda n: drifted(n, anomaly("INT_TYPE_BIG_INT", rows=2)),
        lambda n: drifted(n, anomaly("SCHEMA_NEW_COLUMN", "surge")),
        lambda n: drifted(n, anomaly("ENUM_TYPE_UNEXPECTED_STRING_VALUES", "company")),
        lambda n: drifted(n, rejected=1),
        lambda n: drifted(n, *[anomaly("A_NAME_OF_A_LATER_TFDV")] * (n == DRIFTED[0])),
    ],
    ids=["null", "below", "above", "new column", "new value", "missing field", "one window"],
)
def test_a_few_bad_rows_or_one_bad_window_refuse_no_retrain(
    bad: Callable[[int], DriftVerdict],
) -> None:
    driver = live_driver()
    driver.receive(*(bad(n) for n in DRIFTED))
    assert len(driver.requests) == 1


@pytest.mark.parametrize(
    "code",
    [
        "FEATURE_TYPE_LOW_FRACTION_PRESENT",
        "FLOAT_TYPE_SMALL_FLOAT",
        "INT_TYPE_SMALL_INT",
        "FLOAT_TYPE_BIG_FLOAT",
        "A_NAME_OF_A_LATER_TFDV",
    ],
)
def test_persistent_bad_rows_refuse_retrains_until_they_end(code: str) -> None:
    """Also codes that the retrain's gate knows: the trigger does not ask for what it refuses."""
    driver = live_driver()
    driver.receive(*(drifted(n, anomaly(code, rows=40)) for n in DRIFTED))
    driver.receive(drifted(16))
    assert driver.requests == []
    assert any(f"{code} in fare" in reply.reason for reply in driver.replies)
    driver.receive(retrain_command("by hand", at=driver.now))
    assert driver.requests == []
    assert "The data is broken" in driver.replies[-1].reason
    driver.receive(*(drifted(n) for n in range(17, 21)))
    (request,) = driver.requests
    assert all(span.start >= 16 * ROWS for span in request.after_shift)


def test_many_windows_just_below_their_limit_are_judged_together() -> None:
    """No window is over the limit by itself; all rows of the retrain are, and it would fail."""
    windows = [drifted(n, anomaly("FLOAT_TYPE_SMALL_FLOAT", rows=6)) for n in range(10, 22)]
    rules = replace(RULES, min_labelled_rows=10_000, after_shift_share=1.0)
    driver = live_driver(rules).receive(*windows)
    assert driver.requests == []
    assert "in the rows to train on" in driver.replies[-1].reason
    tolerant = replace(rules, tolerance=Tolerance(share=0.01))
    assert len(live_driver(tolerant).receive(*windows).requests) == 1
