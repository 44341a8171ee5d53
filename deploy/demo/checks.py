"""Checks of the scenarios: each compares a promise with what was observed.

`deploy.demo.failures` holds the conditions that end a run early.
"""

from __future__ import annotations

from deploy.demo.messages import NEW_COLUMN
from deploy.demo.state import Check, DemoState
from streaming.contracts.records import ModelVersion

AFTER_SHIFT = "after_shift"
MIN_AUC_GAIN = 0.02
"""Least gain in AUC of version 2 over version 1 on the shifted slice."""
MAX_ROLLBACK_SECONDS = 10.0
"""Longest time from the first slow response to the last request on the slow canary."""
MIN_STABLE_WINDOWS = 3
"""Least number of stable windows against the new reference."""


def auc(version: ModelVersion, slice_name: str) -> tuple[float | None, float | None]:
    """AUC of a version and of its champion: overall (``""``) or on the shifted slice.

    None where it was not measured.
    """
    for metric in version.evaluation:
        if metric.name.lower() == "auc" and is_slice(metric.slice, slice_name):
            return metric.value, metric.champion
    return None, None


def is_slice(name: str, slice_name: str) -> bool:
    """Whether a metric's slice is the overall one (``""``), or the shifted one.

    The shifted slice is ``after_shift`` or ``after_shift=1``, never ``after_shift=0``.
    """
    if slice_name == "":
        return name == ""
    return name.startswith(slice_name) and not name.rstrip().endswith("0")


def windows_since(state: DemoState, start: float | None) -> int:
    """Number of judged windows that began at or after `start`."""
    if start is None:
        return 0
    return sum(verdict.window_start >= start for verdict in state.timeline.verdicts)


def _check(name: str, promised: str, passed: bool, seen: str) -> Check:
    return Check(name=name, promised=promised, seen=seen, passed=passed)


# -------------------------------------------------------------------- drift


def no_alarm_before_shift(state: DemoState) -> Check:
    """No window that ended before the shift raised an alarm."""
    shift = state.shift_at
    early = state.timeline.alarms(until=shift) if shift is not None else state.timeline.alarms()
    return _check("no alarm before the shift", "0 alarms", not early, f"{len(early)} alarms")


def no_alarm(state: DemoState) -> Check:
    """No window raised an alarm."""
    alarms = state.timeline.alarms()
    count = len(state.timeline.judged_against(1))
    seen = f"{len(alarms)} alarms in {count} judged windows"
    return _check("no alarm", "0 alarms", not alarms, seen)


def suspected_then_drifted(state: DemoState) -> Check:
    """The shift was confirmed as drift."""
    outcomes = [verdict.outcome for verdict in state.timeline.alarms()]
    seen = ", ".join(outcomes[:6]) or "no alarm"
    return _check("the shift is found", "a drifted window", "drifted" in outcomes, seen)


def no_drift_alarm(state: DemoState) -> Check:
    """The inputs did not change and no window raised an alarm."""
    alarms = state.timeline.alarms()
    return _check("no alarm on the inputs", "0 alarms", not alarms, f"{len(alarms)} alarms")


def stable_afterwards(state: DemoState) -> Check:
    """Complete windows judged against the new reference are stable."""
    stop = state.traffic.phase_since.get("stop", state.now) if state.traffic else state.now
    verdicts = [v for v in state.timeline.judged_against(2) if v.window_end <= stop]
    outcomes = [verdict.outcome for verdict in verdicts]
    passed = len(outcomes) >= MIN_STABLE_WINDOWS and set(outcomes) == {"stable"}
    promised = f"at least {MIN_STABLE_WINDOWS} windows, all stable"
    seen = ", ".join(outcomes) or "no window"
    return _check("stable against the new reference", promised, passed, seen)


# ------------------------------------------------------------------ quality


def concept_found(state: DemoState) -> Check:
    """Quality fell while the inputs were stable, and the cause was given as concept drift."""
    degraded = state.timeline.quality_of(1, "degraded")
    causes = sorted({verdict.cause for verdict in degraded})
    passed = causes == ["concept"] and state.concept_shift_at is not None
    reason = f": {degraded[0].reason}" if degraded else ""
    seen = f"{len(degraded)} degraded windows {', '.join(causes)}{reason}"
    return _check("concept drift is found", "degraded quality, cause concept", passed, seen)


def stable_quality_again(state: DemoState) -> Check:
    """The quality of version 2 was measured and is stable."""
    stable, degraded = (state.timeline.quality_of(2, kind) for kind in ("stable", "degraded"))
    passed = bool(stable) and not degraded
    seen = f"{len(stable)} stable, {len(degraded)} degraded"
    return _check("quality is stable again", "stable, 0 degraded", passed, seen)


# ------------------------------------------------------- retrain and rollout


def one_retrain(state: DemoState) -> Check:
    """Exactly one retrain was requested."""
    count = len(state.timeline.retrains)
    return _check("exactly one retrain", "1 retrain", count == 1, _retrains(count))


def no_retrain(state: DemoState) -> Check:
    """No retrain was requested apart from the initial one."""
    count = len(state.timeline.retrains)
    return _check("no retrain", "0 retrains", count == 0, _retrains(count))


def _retrains(count: int) -> str:
    return f"{count} retrain" if count == 1 else f"{count} retrains"


def better_on_shift(state: DemoState) -> Check:
    """Version 2 has a higher AUC than version 1 on rows from after the shift."""
    name, promised = "better on the shifted slice", f"AUC higher by at least {MIN_AUC_GAIN}"
    version = state.timeline.versions.get(2)
    new, old = auc(version, AFTER_SHIFT) if version else (None, None)
    if new is None or old is None:
        return _check(name, promised, False, "AUC on the shifted slice is unknown")
    return _check(name, promised, new - old >= MIN_AUC_GAIN, f"AUC {new:.3f} against {old:.3f}")


def canary_passed(state: DemoState) -> Check:
    """The canary was judged and no step failed."""
    outcomes: list[str] = [v.outcome for v in state.timeline.canary if v.version == 2]
    passed = "pass" in outcomes and "fail" not in outcomes
    words = (("pass", "pass"), ("insufficient", "still collecting"), ("fail", "fail"))
    seen = ", ".join(f"{outcomes.count(outcome)} {word}" for outcome, word in words)
    if "error" in outcomes:
        seen += f", {outcomes.count('error')} error"
    return _check("the canary passes", "at least 1 pass, 0 fail", passed, seen)


def promoted(state: DemoState) -> Check:
    """Version 2 is live."""
    live = state.timeline.live
    return _check("version 2 is live", "version 2", live == 2, f"version {live} is live")


def no_client_error(state: DemoState) -> Check:
    """Clients received no error during the whole rollout."""
    requests, errors = state.rollout_client_counts(2)
    seen = f"{errors} errors in {requests:,} requests"
    if errors and state.traffic is not None:
        seen += f" (first: {state.traffic.first_error})"
    passed = requests > 0 and errors == 0
    return _check("no client error during the rollout", "0 errors", passed, seen)


def rolled_back(state: DemoState) -> Check:
    """Version 2 was rolled back and never became live."""
    timeline = state.timeline
    rollback = timeline.rolled_back_at(2) is not None
    passed = rollback and timeline.live == 1 and timeline.promotion_of(2) is None
    seen = f"version {timeline.live} is live"
    return _check("version 2 is rolled back", "version 1 stays live", passed, seen)


def rolled_back_in_time(state: DemoState) -> Check:
    """Requests stopped going to the slow canary within seconds of its first slow response."""
    name = f"traffic is back within {MAX_ROLLBACK_SECONDS:.0f} s"
    promised = f"at most {MAX_ROLLBACK_SECONDS:.0f} s"
    since = state.started_at if state.delay_at is None else state.delay_at
    seconds = state.seconds_on_slow_arm("canary", since)
    if seconds is None:
        return _check(name, promised, False, "no client received a slow response")
    seen = f"{seconds:.1f} s after the first slow response"
    return _check(name, promised, seconds <= MAX_ROLLBACK_SECONDS, seen)


# --------------------------------------------------------- schema and events


def every_bad_record_explained(state: DemoState) -> Check:
    """Each event that was broken on purpose is a dead letter with a reason."""
    sent = state.traffic.broken if state.traffic else 0
    counts = {r: count for r, count in state.timeline.dead_letters.items() if r != "late"}
    passed = sent > 0 and sum(counts.values()) == sent and "" not in counts
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items()))
    seen = f"{reasons or 'none'} of {sent} sent"
    return _check("every bad record explained", "a reason for each", passed, seen)


def anomalies_named(state: DemoState) -> Check:
    """Schema validation reported the anomalies, and none before the producer broke."""
    broken = state.broken_at
    windows = [verdict for verdict in state.timeline.verdicts if verdict.anomalies]
    codes = sorted({f"{a.feature} {a.code}" for verdict in windows for a in verdict.anomalies})
    early = [v for v in windows if broken is None or v.window_end <= broken]
    passed = bool(windows) and not early
    promised = "named, and none before the fault"
    return _check("schema anomalies named", promised, passed, "; ".join(codes) or "none")


def column_named(state: DemoState) -> Check:
    """Schema validation reported the new column, only while it was new."""
    since = state.now if state.new_column_at is None else state.new_column_at
    verdicts = [verdict for verdict in state.timeline.schema if verdict.findings]
    early = [verdict for verdict in verdicts if verdict.window_end <= since]
    columns = {finding.feature for verdict in verdicts for finding in verdict.findings}
    accepted = [verdict for verdict in verdicts if verdict.schema_version == 2]
    passed = columns == {NEW_COLUMN} and not early and not accepted
    reasons = [verdict.reason for verdict in verdicts if verdict.outcome == "suspected"]
    seen = f"in {len(verdicts)} windows: {''.join(reasons[:1])}"
    return _check("the new column is named", f"only {NEW_COLUMN}, until accepted", passed, seen)


def column_accepted(state: DemoState) -> Check:
    """The change was proposed once and its acceptance made version 2 of the schema.

    Version 1, the model's own schema file, is published while the stack starts.
    """
    states = [proposal.state for proposal in state.timeline.proposals.values()]
    versions = [number for number in sorted(state.timeline.schema_versions) if number > 1]
    passed = states == ["accepted"] and versions == [2]
    numbers = ", ".join(map(str, versions)) or "-"
    seen = f"{', '.join(states) or 'no proposal'}; versions {numbers}"
    return _check("the change is accepted once", "1 proposal, version 2", passed, seen)


def same_schema(state: DemoState) -> Check:
    """Windows and the new model used the same schema text."""
    name, promised = "one schema for job and retrain", "the same digest"
    schema, model = state.timeline.schema_versions.get(2), state.timeline.versions.get(2)
    windows = state.timeline.validated_against(2)
    if schema is None or model is None or not windows:
        return _check(name, promised, False, "a schema version, a model or a window is missing")
    digests = {verdict.schema_digest for verdict in windows}
    digests |= {model.schema_digest, schema.digest}
    passed = model.schema_version == 2 and len(digests) == 1
    seen = (
        f"{len(windows)} windows and version {model.version}, "
        f"trained under {model.schema_version}: {schema.digest[:12]}"
    )
    return _check(name, promised, passed, seen)


def every_event_counted(state: DemoState) -> Check:
    """Each sent event was counted exactly once: accepted, dead or late."""
    counts = state.timeline.counts
    total = counts.accepted + counts.dead_letters + counts.late
    sent = state.traffic.sent if state.traffic else 0
    seen = (
        f"{counts.accepted} accepted + {counts.dead_letters} dead + {counts.late} late = {total}; "
        f"{counts.offsets_read} offsets read, {sent} sent, {state.end_offset} in the log"
    )
    passed = total == counts.offsets_read == sent == state.end_offset
    return _check("every event accounted once", "sent = read = counted", passed, seen)
