"""Schema verdicts are computed again from windows, drift verdicts, schema and recorded rules."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from streaming.contracts.model import ModelContract
from streaming.contracts.recomputed import MissingInputError, Recomputed
from streaming.contracts.records import DriftVerdict, SchemaVerdict, WindowSummary
from streaming.contracts.tolerance import Tolerance
from streaming.drift import DriftRules
from streaming.drift.window_rules import WindowRules
from streaming.schema.recompute import SchemaReplay
from streaming.schema.thresholds import schema_thresholds
from streaming.schema.verdict import SchemaHistory, judge_schema, schema_history_digest
from tests.streaming.schema.test_schema import SCHEMA, window

RULES = WindowRules(
    contract=ModelContract(
        model="m", module="none", events_topic="e", labels_topic="l", key="id", time="t"
    ),
    drift=DriftRules(),
    tolerance=Tolerance(),
)
Judged = tuple[WindowSummary, DriftVerdict, SchemaVerdict]


def drift_of(summary: WindowSummary) -> DriftVerdict:
    return DriftVerdict(
        record_id=f"drift-{summary.record_id}",
        model="m",
        at=summary.window_end,
        caused_by=(summary.record_id,),
        window_start=summary.window_start,
        window_end=summary.window_end,
        outcome="stable",
        reason="",
        rows=summary.accepted,
        offsets=(),
        reference_id="",
        reference_version=0,
        features=(),
    )


@pytest.fixture(scope="module")
def judged() -> list[Judged]:
    """Ten windows; from the fourth on a value comes that the schema does not have."""
    thresholds = schema_thresholds(
        RULES.drift, columns=len(SCHEMA.columns), window_seconds=60.0, tolerance=RULES.tolerance
    )
    history, result = SchemaHistory(), []
    for number in range(10):
        summary = window(number, app=500 if number >= 3 else 0)
        drift = drift_of(summary)
        before = schema_history_digest(history)
        verdict, history = judge_schema(
            summary, SCHEMA, history, thresholds, drift, skew_limit=RULES.drift.suspected_sd
        )
        recorded = replace(verdict, rules_digest=RULES.digest("1.0"), history_digest=before)
        result.append((summary, drift, recorded))
    return result


def again(judged: Sequence[Judged]) -> list[Recomputed]:
    def rules_of(digest: str) -> tuple[WindowRules, str]:
        if digest != RULES.digest("1.0"):
            raise MissingInputError(f"The rules {digest} are not on the log.")
        return RULES, "1.0"

    replay = SchemaReplay(rules_of, lambda verdict, rules: SCHEMA)
    return [replay.add(*entry) for entry in judged]


def test_each_verdict_is_equal(judged: list[Judged]) -> None:
    assert {verdict.outcome for _, _, verdict in judged} >= {"conforms", "suspected"}
    assert {(result.outcome, result.code) for result in again(judged)} == {("equal", "1.0")}


def test_a_changed_verdict_is_named(judged: list[Judged]) -> None:
    summary, drift, verdict = judged[-1]
    *_, last = again([*judged[:-1], (summary, drift, replace(verdict, outcome="conforms"))])
    assert (last.outcome, last.record_id) == ("differs", verdict.record_id)
    assert [entry.field for entry in last.differences] == ["outcome"]


def test_a_replay_that_begins_later_says_so_until_its_history_is_complete(
    judged: list[Judged],
) -> None:
    outcomes = [result.outcome for result in again(judged[2:])]
    assert outcomes[0] == "missing"
    assert outcomes[-1] == "equal"


def test_other_rules_and_old_verdicts_cannot_be_computed_again(judged: list[Judged]) -> None:
    summary, drift, verdict = judged[0]
    for digest, reason in (("0" * 24, "not on the log"), ("", "written before")):
        (result,) = again([(summary, drift, replace(verdict, rules_digest=digest))])
        assert result.outcome == "missing"
        assert reason in result.reason
