"""What a scenario promises, as questions with evidence; and what breaks a run before its end."""

from __future__ import annotations

from dataclasses import dataclass

from deploy.demo.messages import NEW_COLUMN
from deploy.demo.view import View
from streaming.contracts.records import ModelVersion

AFTER_SHIFT = "after_shift"
GAIN = 0.02
"""Version 2 must beat version 1 on the shifted slice by this much AUC."""
BACK_SECONDS = 10.0
STABLE_AFTERWARDS = 3


@dataclass(frozen=True, slots=True)
class Check:
    """One promise: kept or not, and what was found."""

    name: str
    kept: bool
    found: str


def auc(version: ModelVersion, slice_name: str) -> tuple[float | None, float | None]:
    """AUC of a version and of its champion: overall (``""``) or on the shifted slice.

    None where it was not measured.
    """
    for metric in version.evaluation:
        if metric.name.lower() != "auc":
            continue
        wanted = metric.slice == "" if slice_name == "" else _is_after_shift(metric.slice)
        if wanted:
            return metric.value, metric.champion
    return None, None


def _is_after_shift(name: str) -> bool:
    """``after_shift`` or ``after_shift=1`` in any spelling, never ``after_shift=0``."""
    return name.startswith(AFTER_SHIFT) and not name.rstrip().endswith("0")


def windows_since(view: View, start: float | None) -> int:
    """Judged windows that began at or after `start`."""
    if start is None:
        return 0
    return sum(verdict.window_start >= start for verdict in view.story.verdicts)


# ------------------------------------------------------------------- promises


def no_alarm_before_shift(view: View) -> Check:
    """No window raised an alarm that ended before the shift began."""
    shift = view.shift_at
    early = view.story.alarms(until=shift) if shift is not None else view.story.alarms()
    return Check("no alarm before the shift", not early, f"{len(early)} alarms")


def no_alarm(view: View) -> Check:
    """No window raised an alarm at all."""
    alarms = view.story.alarms()
    count = len(view.story.against(1))
    return Check("no alarm", not alarms, f"{len(alarms)} alarms in {count} judged windows")


def suspected_then_drifted(view: View) -> Check:
    """The shift was suspected, then confirmed."""
    seen = [verdict.outcome for verdict in view.story.alarms()]
    kept = "drifted" in seen
    return Check("the shift is found", kept, ", ".join(seen[:6]) or "no alarm")


def one_retrain(view: View) -> Check:
    """Exactly one retrain."""
    count = len(view.story.retrains)
    return Check("exactly one retrain", count == 1, f"{count} retrains")


def no_retrain(view: View) -> Check:
    """None at all, but the first one."""
    count = len(view.story.retrains)
    return Check("no retrain", count == 0, f"{count} retrains")


def better_on_shift(view: View) -> Check:
    """Version 2 beats version 1 on rows from after the shift."""
    version = view.story.versions.get(2)
    new, old = auc(version, AFTER_SHIFT) if version else (None, None)
    if new is None or old is None:
        return Check("better on the shifted slice", False, "AUC on the shifted slice is unknown")
    found = f"AUC {new:.3f} against {old:.3f}"
    return Check("better on the shifted slice", new - old >= GAIN, found)


def concept_found(view: View) -> Check:
    """Quality fell while the inputs stood still, and was said to be concept drift."""
    found = view.story.judged(1, "degraded")
    causes = sorted({verdict.cause for verdict in found})
    turned = view.turned_at
    kept = causes == ["concept"] and turned is not None
    first = f": {found[0].reason}" if found else ""
    return Check("concept drift is found", kept, f"{len(found)} looks {', '.join(causes)}{first}")


def no_drift_alarm(view: View) -> Check:
    """The inputs stood still, and no window said otherwise."""
    alarms = view.story.alarms()
    return Check("no alarm on the inputs", not alarms, f"{len(alarms)} alarms")


def good_again(view: View) -> Check:
    """The quality of version 2 is measured, and stable."""
    stable, bad = (view.story.judged(2, outcome) for outcome in ("stable", "degraded"))
    return Check(
        "quality is stable again", bool(stable) and not bad, f"{len(stable)} stable, {len(bad)} bad"
    )


def canary_passed(view: View) -> Check:
    """The canary was judged, and no step failed."""
    outcomes = [v.outcome for v in view.story.canary if v.version == 2]
    kept = "pass" in outcomes and "fail" not in outcomes
    passed = outcomes.count("pass")
    return Check("the canary passes", kept, f"{passed} of {len(outcomes)} verdicts pass")


def promoted(view: View) -> Check:
    """Version 2 is live."""
    return Check("version 2 is live", view.story.live == 2, f"version {view.story.live} is live")


def no_client_error(view: View) -> Check:
    """Clients got good answers over the whole rollout."""
    requests, errors = view.rollout_clients(2)
    found = f"{errors} errors in {requests} requests"
    if errors and view.traffic is not None:
        found += f" (first: {view.traffic.first_error})"
    return Check("no client error during the rollout", requests > 0 and errors == 0, found)


def stable_afterwards(view: View) -> Check:
    """Windows judged against the new reference are stable."""
    stop = view.traffic.phase_since.get("stop", view.now) if view.traffic else view.now
    whole = [verdict for verdict in view.story.against(2) if verdict.window_end <= stop]
    outcomes = [verdict.outcome for verdict in whole]
    kept = len(outcomes) >= STABLE_AFTERWARDS and set(outcomes) == {"stable"}
    return Check("stable against the new reference", kept, ", ".join(outcomes) or "no window")


def rolled_back(view: View) -> Check:
    """Version 2 never became live."""
    back = view.story.rolled_back(2) is not None
    kept = back and view.story.live == 1 and view.story.promotion_of(2) is None
    return Check("version 2 is rolled back", kept, f"version {view.story.live} is live")


def back_in_time(view: View) -> Check:
    """Clients were kept off the slow canary within seconds of its first slow answer."""
    since = view.marks.get("fault", view.started_at)
    seconds = view.slow_to_back("canary", since)
    name = f"traffic is back within {BACK_SECONDS:.0f} s"
    if seconds is None:
        return Check(name, False, "no client saw a slow answer, so nothing was shown")
    return Check(name, seconds <= BACK_SECONDS, f"{seconds:.1f} s after the first slow answer")


def every_bad_record_explained(view: View) -> Check:
    """Each record that was broken on purpose lies in the dead letters with a reason."""
    sent = view.traffic.broken if view.traffic else 0
    counts = {reason: count for reason, count in view.story.dead.items() if reason != "late"}
    found = ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items()))
    kept = sent > 0 and sum(counts.values()) == sent and "" not in counts
    return Check("every bad record explained", kept, f"{found or 'none'} of {sent} sent")


def anomalies_seen(view: View) -> Check:
    """The schema's judge named what was wrong, and only while it was."""
    broken = view.broken_at
    windows = [verdict for verdict in view.story.verdicts if verdict.anomalies]
    codes = sorted({f"{a.feature} {a.code}" for v in windows for a in v.anomalies})
    early = [v for v in windows if broken is None or v.window_end <= broken]
    kept = bool(windows) and not early
    return Check("schema anomalies named", kept, "; ".join(codes) or "none")


def column_named(view: View) -> Check:
    """The schema's judge named the new column, and nothing before it came or once accepted."""
    since = view.marks.get("column", view.now)
    wrong = [verdict for verdict in view.story.schema if verdict.findings]
    early = [verdict for verdict in wrong if verdict.window_end <= since]
    named = {finding.feature for verdict in wrong for finding in verdict.findings}
    again = [verdict for verdict in wrong if verdict.schema_version == 2]
    kept = named == {NEW_COLUMN} and not early and not again
    lasting = [verdict.reason for verdict in wrong if verdict.outcome == "suspected"]
    found = f"in {len(wrong)} windows: {''.join(lasting[:1])}"
    return Check("the new column is named", kept, found)


def column_accepted(view: View) -> Check:
    """It was proposed once, and accepting it made the next version.

    The first one, the model's file, is published while the stack comes up.
    """
    states = [one.state for one in view.story.proposals.values()]
    made = [one for one in sorted(view.story.schema_versions) if one > 1]
    kept = states == ["accepted"] and made == [2]
    found = f"{', '.join(states) or 'no proposal'}; versions {', '.join(map(str, made)) or '-'}"
    return Check("the change is accepted once", kept, found)


def same_schema(view: View) -> Check:
    """Windows and the new model were held against the same text."""
    schema, made = view.story.schema_versions.get(2), view.story.versions.get(2)
    windows = view.story.held_against(2)
    if schema is None or made is None or not windows:
        return Check("one schema for job and retrain", False, "something is missing")
    digests = {one.schema_digest for one in windows} | {made.schema_digest, schema.digest}
    kept = made.schema_version == 2 and len(digests) == 1
    found = (
        f"{len(windows)} windows and version {made.version}, trained under {made.schema_version}"
    )
    return Check("one schema for job and retrain", kept, f"{found}: {schema.digest[:12]}")


def accounted(view: View) -> Check:
    """Every event sent is accepted, dead or late; none twice."""
    sums = view.story.accounts
    total = sums.accepted + sums.dead_letters + sums.late
    sent = view.traffic.sent if view.traffic else 0
    found = (
        f"{sums.accepted} accepted + {sums.dead_letters} dead + {sums.late} late = {total}; "
        f"{sums.offsets_read} offsets read, {sent} sent, {view.offsets} in the log"
    )
    return Check(
        "every event accounted once", total == sums.offsets_read == sent == view.offsets, found
    )


# ------------------------------------------------------------ broken promises


def _broken_birth(view: View) -> str:
    if view.story.failures:
        failure = view.story.failures[0]
        return f"A retrain failed in {failure.component}: {failure.reason} {failure.advice}"
    for version in view.story.versions.values():
        if not version.blessed:
            return f"Version {version.version} was not blessed: {version.reason}"
    return ""


def broken_loop(view: View) -> str:
    """Why the circle of `shift` cannot close any more."""
    if view.story.rolled_back(2) is not None:
        reasons = [v.reason for v in view.story.canary if v.outcome in ("fail", "error")]
        return f"Version 2 was rolled back: {reasons[-1] if reasons else 'see the daemon log'}"
    if len(view.story.retrains) > 1:
        return "A second retrain was requested."
    if view.shift_at is None and view.story.alarms():
        return f"An alarm before the shift: {view.story.alarms()[0].reason}"
    return _broken_birth(view)


def broken_concept(view: View) -> str:
    """Why the circle of `concept` cannot close any more."""
    early = view.story.judged(1, "degraded")
    if view.turned_at is None and early:
        return f"Quality fell without a reason: {early[0].reason}"
    other = [request for request in view.story.retrains if request.cause != "concept"]
    if other:
        return f"A retrain for {other[0].cause}: {other[0].reason}"
    return broken_loop(view)


def broken_peace(view: View) -> str:
    """Why `quiet` has failed already."""
    if view.story.alarms():
        return f"An alarm without a shift: {view.story.alarms()[0].reason}"
    if view.story.retrains:
        return "A retrain without a shift."
    return _broken_birth(view)


def broken_rollback(view: View) -> str:
    """Why `slow-canary` has failed already."""
    if view.story.promotion_of(2) is not None:
        return "The slow version was promoted."
    return _refused(view) or _broken_birth(view)


def broken_column(view: View) -> str:
    """Why `new-column` has failed already."""
    broken = [verdict for verdict in view.story.schema if verdict.outcome == "broken"]
    if broken:
        return f"The schema is broken: {broken[0].reason}"
    return _refused(view) or broken_loop(view)


def _refused(view: View) -> str:
    for asked in view.asked:
        answer = view.story.answers.get(asked)
        if answer is not None and not answer.accepted:
            return f"What was asked was refused: {answer.reason}"
    return ""


def broken_schema_trained(view: View) -> str:
    """Why `broken-schema` has failed already."""
    if view.story.retrains:
        return f"Broken traffic led to a retrain: {view.story.retrains[0].reason}"
    return _broken_birth(view)
