"""What the alert drills read in a message is what the notifier wrote into it."""

from __future__ import annotations

import json

from deploy.notify.alerts import Alert, AlertGroup
from deploy.notify.blocks import blocks_of
from tests.e2e.told_alerts import Told, fired, problem, told_in


def message(*alerts: tuple[str, bool], thread: str = "") -> list[Told]:
    """The alerts of a message as the local receiver keeps it; each with whether it is resolved."""
    group = AlertGroup(
        status="resolved" if all(resolved for _, resolved in alerts) else "firing",
        alerts=tuple(
            Alert(
                status="resolved" if resolved else "firing",
                labels={"alertname": name, "severity": "page"},
                annotations={"summary": "*DriftlineOther* (page)"},
            )
            for name, resolved in alerts
        ),
        group_labels={"cause": "process"},
    )
    return told_in("1.1", thread, 1.0, json.dumps({"text": "t", "blocks": blocks_of(group)}))


def test_every_alert_of_a_message_is_read_and_nothing_else() -> None:
    entries = message(("DriftlineSlow", False), ("DriftlineErrors", True))
    assert {(entry.alert, entry.resolved) for entry in entries} == {
        ("DriftlineSlow", False),
        ("DriftlineErrors", True),
    }
    assert fired(entries) == ["DriftlineSlow"]


def test_the_expected_alert_alone_is_right() -> None:
    entries = message(("DriftlineSlow", False)) + message(("DriftlineSlow", True), thread="1.1")
    assert problem(entries, expected=["DriftlineSlow"]) == ""


def test_another_alert_a_missing_one_and_another_order_are_wrong() -> None:
    entries = message(("DriftlineSlow", False)) + message(("DriftlineErrors", False))
    assert "expected DriftlineSlow" in problem(entries, expected=["DriftlineSlow"])
    assert "expected nothing" in problem(entries, expected=[])
    assert problem(entries[:1], expected=["DriftlineSlow", "DriftlineErrors"])
    assert problem(entries, expected=["DriftlineErrors", "DriftlineSlow"])


def test_one_cause_in_two_threads_is_wrong() -> None:
    entries = message(("DriftlineSlow", False)) + message(("DriftlineErrors", False), thread="2.2")
    expected = ["DriftlineSlow", "DriftlineErrors"]
    assert problem(entries, expected=expected) == "told in 2 threads; one cause has one"


def test_what_fired_before_is_no_alert_of_this_cause() -> None:
    entries = message(("DriftlineSlow", False)) + message(("DriftlineErrors", False), thread="2.2")
    assert problem(entries, expected=["DriftlineErrors"], earlier={"DriftlineSlow"}) == ""
