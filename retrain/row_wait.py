"""The wait for more labelled rows: after an insufficient evaluation, or by a learning curve. Pure.

It is no failure, so it doubles no back-off. It ends when the rows are there, when their shift is
over, with a promotion, with a person's request, and at a deadline. Only the last is a failure, and
only after an evaluation: where a learning curve asked for the rows, the retrain is trained on what
there is then.
"""

from __future__ import annotations

from msgspec.structs import replace

from retrain.failures import EXAMPLES
from retrain.policy import RetrainRules
from retrain.state import TriggerState, WaitForRows, count_failure
from streaming.contracts.records import RetrainFailure

REACHABLE_SHARE = 0.8
"""Of the most rows that a retrain replays: the newest of them have no label yet."""
GROWTH = 4
"""How many times as many rows the next retrain has where more would be needed than are replayed."""


def wait_for_more_rows(
    state: TriggerState, failure: RetrainFailure, rules: RetrainRules, now: float
) -> tuple[TriggerState, str]:
    """The state after an insufficient evaluation, and why it is a failure; empty when it is not.

    It is one where the rows that would decide exceed what a retrain replays, and this one had
    nearly all that can be replayed. With fewer, the wait is for several times as many: how many
    would decide is an estimate itself, and a poor one from few rows.
    """
    running = state.running
    state = replace(state, running=None)
    start = running.shift_start if running is not None else None
    most = rules.max_rows if start is None else int(rules.max_rows * rules.after_shift_share)
    if failure.component == EXAMPLES:
        probe_wait = WaitForRows(
            request_id=failure.request_id,
            rows=min(failure.rows_needed, most),
            reason=failure.reason,
            deadline=now + rules.probe_wait_seconds,
            shift_start=start,
            probed=True,
        )
        return replace(state, wait_for_rows=probe_wait), ""
    needed, reachable = failure.rows_needed, int(most * REACHABLE_SHARE)
    if needed > most:
        if failure.rows >= reachable:
            why = (
                f"About {needed} labelled rows would be needed, and a retrain replays "
                f"{most} at most."
            )
            return count_failure(state, now), f"{failure.reason} {why}"
        needed = failure.rows * GROWTH
    wait = WaitForRows(
        request_id=failure.request_id,
        # Fewer additional rows would give the same answer once more.
        rows=max(min(needed, reachable), failure.rows + 1),
        reason=failure.reason,
        deadline=now + rules.more_rows_seconds,
        shift_start=start,
    )
    return replace(state, wait_for_rows=wait), ""


def end_wait_for_rows(state: TriggerState, now: float) -> TriggerState | None:
    """The state after a wait for rows whose deadline has passed; None while it goes on.

    The wait for the rows of a shift that is over is dropped, and counts as nothing.
    """
    wait = state.wait_for_rows
    if wait is None:
        return None
    if wait.shift_start is not None and wait.shift_start not in _shift_starts(state):
        return replace(state, wait_for_rows=None)
    if now <= wait.deadline:
        return None
    if wait.probed:
        return replace(state, wait_for_rows=replace(wait, rows=0)) if wait.rows else None
    return count_failure(replace(state, wait_for_rows=None), now)


def _shift_starts(state: TriggerState) -> tuple[float, ...]:
    return tuple(shift.start for shift in (state.shift, state.concept) if shift is not None)
