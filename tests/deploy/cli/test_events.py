"""`driftline events check` on a log in memory."""

from __future__ import annotations

import json
import time

from streaming.contracts.log import MemoryLog
from streaming.contracts.topics import applications_topic
from tests.deploy.cli.builders import MODEL
from tests.deploy.cli.runner import data, run


def log_with(*values: bytes) -> MemoryLog:
    log = MemoryLog()
    log.ensure([applications_topic("taxi.trips", partitions=1)])
    log.append_raw("taxi.trips", [(None, value) for value in values])
    return log


def event(**changes: object) -> bytes:
    trip = {"trip_id": "t1", "event_time": time.time() - 3, "fare": 12.5, "trip_miles": 3.1}
    trip |= {"trip_seconds": 600, "payment_type": "Cash"}
    return json.dumps(trip | changes).encode()


def test_the_fields_and_the_outcome_are_shown() -> None:
    shown = run("events", "check", MODEL, log=log_with(event(), event(fare="x")))
    assert shown.exit_code == 0
    assert "2 events: 1 accepted, 1 dead letters" in shown.stdout
    assert "wrong_type" in shown.stdout
    assert "payment_type" in shown.stdout


def test_json_has_the_same_report() -> None:
    report = data(run("events", "check", MODEL, "--last", "5", "--json", log=log_with(event())))
    assert (report["accepted"], report["example"]["key"]) == (1, "t1")


def test_events_of_which_none_is_accepted_end_with_4() -> None:
    shown = run("events", "check", MODEL, log=log_with(event(event_time="2026-01-01T00:00:00Z")))
    assert shown.exit_code == 4
    assert f"models.{MODEL}.events.time_format: rfc3339" in shown.stderr


def test_hostile_text_is_shown_with_escapes() -> None:
    hostile = event(**{"\x1b[31m": "\x07[/x]", "company": "\x1b[2J"})
    shown = run("events", "check", MODEL, log=log_with(hostile))
    assert shown.exit_code == 0
    assert "\x1b" not in shown.output
