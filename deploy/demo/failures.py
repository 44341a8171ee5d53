"""Conditions that end a scenario early because a promise can no longer be kept.

Each function returns the reason, or an empty string while the run may go on.
"""

from __future__ import annotations

from deploy.demo.state import DemoState


def fails_shift(state: DemoState) -> str:
    """Conditions of `shift`."""
    timeline = state.timeline
    if timeline.rolled_back_at(2) is not None:
        reasons = [v.reason for v in timeline.canary if v.outcome in ("fail", "error")]
        return f"Version 2 was rolled back: {reasons[-1] if reasons else 'see the daemon log'}"
    if len(timeline.retrains) > 1:
        return "A second retrain was requested."
    if state.shift_at is None and timeline.alarms():
        return f"An alarm before the shift: {timeline.alarms()[0].reason}"
    return _fails_training(state)


def fails_concept(state: DemoState) -> str:
    """Conditions of `concept`."""
    degraded = state.timeline.quality_of(1, "degraded")
    if state.concept_shift_at is None and degraded:
        return f"Quality fell without a concept shift: {degraded[0].reason}"
    unrelated = [r for r in state.timeline.retrains if r.cause != "concept"]
    if unrelated:
        return f"A retrain for {unrelated[0].cause}: {unrelated[0].reason}"
    return fails_shift(state)


def fails_quiet(state: DemoState) -> str:
    """Conditions of `quiet`."""
    if state.timeline.alarms():
        return f"An alarm without a shift: {state.timeline.alarms()[0].reason}"
    if state.timeline.retrains:
        return "A retrain without a shift."
    return _fails_training(state)


def fails_slow_canary(state: DemoState) -> str:
    """Conditions of `slow-canary`."""
    if state.timeline.promotion_of(2) is not None:
        return "The slow version was promoted."
    return _refused_command(state) or _fails_training(state)


def fails_new_column(state: DemoState) -> str:
    """Conditions of `new-column`."""
    broken = [verdict for verdict in state.timeline.schema if verdict.outcome == "broken"]
    if broken:
        return f"The schema is broken: {broken[0].reason}"
    return _refused_command(state) or fails_shift(state)


def fails_broken_schema(state: DemoState) -> str:
    """Conditions of `broken-schema`."""
    if state.timeline.retrains:
        return f"Broken traffic led to a retrain: {state.timeline.retrains[0].reason}"
    return _fails_training(state)


def _fails_training(state: DemoState) -> str:
    if state.timeline.failures:
        failure = state.timeline.failures[0]
        how = "failed" if failure.outcome == "failed" else f"was {failure.outcome}"
        return f"A retrain {how} in {failure.component}: {failure.reason} {failure.advice}"
    for version in state.timeline.versions.values():
        if not version.blessed:
            return f"Version {version.version} was not blessed: {version.reason}"
    return ""


def _refused_command(state: DemoState) -> str:
    for command_id in state.commands:
        reply = state.timeline.replies.get(command_id)
        if reply is not None and not reply.accepted:
            return f"The command was refused: {reply.reason}"
    return ""
