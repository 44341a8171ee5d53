"""report.json has exactly the documented format and can be read back."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from deploy.demo import report as reports
from deploy.demo.report import Canary, CanaryStep, Events, Report, TimelineEntry, Version, Windows
from streaming.contracts.errors import DecodeError, NotFoundError

REPORT = Report(
    scenario="shift",
    data="generated",
    started_at=1000.0,
    finished_at=1400.5,
    outcome="passed",
    why="all promises kept",
    timeline=(TimelineEntry(at_seconds=1.5, what="the stack is up", detail=""),),
    events=Events(sent=10, accepted=8, dead_letters=1, late=1, offsets_read=10),
    windows=Windows(judged=4, stable=2, suspected=1, drifted=1, inconclusive=0),
    false_alarms_before_shift=0,
    seconds_shift_to_drifted=17.5,
    windows_shift_to_drifted=3,
    retrains=1,
    retrain_seconds=90.25,
    versions=(Version(version=1, auc=0.93, auc_on_shift=0.5, blessed=True),),
    canary=Canary(
        steps=(CanaryStep(weight=5, verdict="pass", seconds=10.0, requests=70),),
        client_requests=900,
        client_errors=0,
        seconds_to_promote=61.0,
    ),
    promoted_version=2,
    windows_after_promotion_stable=3,
)


def test_the_format_is_the_documented_one() -> None:
    """Field by field, in the documented order."""
    tree = json.loads(reports.encode(REPORT))
    assert list(tree) == [
        "scenario", "data", "started_at", "finished_at", "outcome", "why", "timeline", "events",
        "windows", "false_alarms_before_shift", "seconds_shift_to_drifted",
        "windows_shift_to_drifted", "retrains", "retrain_seconds", "versions", "canary",
        "promoted_version", "windows_after_promotion_stable", "quality",
    ]  # fmt: skip
    assert list(tree["timeline"][0]) == ["at_seconds", "what", "detail"]
    assert list(tree["events"]) == ["sent", "accepted", "dead_letters", "late", "offsets_read"]
    assert list(tree["windows"]) == ["judged", "stable", "suspected", "drifted", "inconclusive"]
    assert list(tree["versions"][0]) == ["version", "auc", "auc_on_shift", "blessed"]
    assert list(tree["canary"]) == [
        "steps", "client_requests", "client_errors", "seconds_to_promote",
    ]  # fmt: skip
    assert list(tree["canary"]["steps"][0]) == ["weight", "verdict", "seconds", "requests"]


def test_a_report_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Written and read."""
    file = tmp_path / "demo" / "report.json"
    reports.write(REPORT, file)
    assert reports.read(file) == REPORT


@pytest.mark.parametrize(
    "change",
    [{"extra": 1}, {"outcome": "perhaps"}, {"retrains": 1.5}, {"canary": {"steps": [1]}}],
)
def test_another_format_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    """Unknown fields, unknown words and wrong types."""
    file = tmp_path / "report.json"
    tree = msgspec.json.decode(reports.encode(REPORT)) | change
    file.write_bytes(msgspec.json.encode(tree))
    with pytest.raises(DecodeError, match="not a demonstration report"):
        reports.read(file)


def test_no_report_is_not_found(tmp_path: Path) -> None:
    """The message names the command that writes it."""
    with pytest.raises(NotFoundError, match="driftline demo"):
        reports.read(tmp_path / "report.json")
