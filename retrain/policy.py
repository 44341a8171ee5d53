"""Decides whether a retrain may start now: debounce, cool-down, budget, one in flight, labels.

Pure: `decide` takes the facts and the time and returns an outcome and one sentence with the values
behind it. It keeps no state and acts on nothing; `handlers` does both.

The checks run from the longest-lasting obstacle to the shortest: a running retrain or rollout,
then broken data, the budget, the waiting periods, and the labels. The reason that a person reads is
therefore the one that will hold longest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from streaming.contracts.records import Cause
from streaming.contracts.tolerance import Tolerance

DAY = 86_400.0

Outcome = Literal["start", "wait", "merged", "refused"]
Code = Literal[
    "start",
    "in-flight",
    "rollout",
    "broken",
    "budget",
    "back-off",
    "cool-down",
    "debounce",
    "labels",
    "more-rows",
    "no-data",
]


class RetrainRules(msgspec.Struct, frozen=True, kw_only=True):
    """When a retrain may start. All times are in seconds.

    The defaults are those of the user's settings (section ``retrain`` of a model).
    """

    min_labelled_rows: int = 5_000
    """Labelled rows that a retrain needs. After a shift they must lie after it. A fifth of
    them is held back, and 1,000 rows give an AUC to about three points (95 %)."""
    min_initial_rows: int = 0
    """Labelled rows that the first version needs; 0 = `min_labelled_rows`."""
    max_rows: int = 1_000_000
    """Upper bound of the rows that one retrain replays; the newest are kept. The worker holds them
    in memory, about 1 kB a row."""
    after_shift_share: float = 0.7
    """Share of the training rows that lies after the shift. The remaining rows are history, so
    that the model keeps what still holds."""
    confirm_windows: int = 1
    """Drifted windows before a shift is confirmed. One is enough, because a drifted verdict
    already needs several alarmed windows (3 of 5 by default)."""
    debounce_seconds: float = 0.0
    """Event time that a shift must have lasted, from its start to its latest alarmed window,
    before a retrain starts; 0 = a confirmed shift is enough."""
    recovery_windows: int = 5
    """Stable windows in a row that end a shift without a retrain."""
    label_delay_seconds: float = 0.0
    """Time from an event to its label. Labels that arrive sooner than this after the shift belong
    to rows before the shift and are not counted."""
    cooldown_seconds: float = 1_800.0
    """Waiting period after the end of a retrain or a promotion. A new version needs time to show
    whether it helps."""
    budget_runs: int = 4
    """Maximum number of retrains that start within any `budget_seconds`."""
    budget_seconds: float = DAY
    """Length of the budget period."""
    deadline_seconds: float = 7_200.0
    """Time from a request to the moment at which its worker counts as lost."""
    more_rows_seconds: float = DAY
    """How long a retrain waits for the labelled rows that an insufficient evaluation asked for;
    then the wait ends and counts as a failure."""
    probe_wait_seconds: float = 3_600.0
    """How long a retrain waits at most for the rows that a learning curve asks for; then it is
    trained on what there is."""
    history_choice: float = 1.5
    """How much more history is replayed than is taken, so that classes and slices can be
    balanced in it."""
    rollout_timeout_seconds: float = 6 * 3_600.0
    """Time since the last record of a rollout after which it no longer blocks retrains."""
    back_off_seconds: float = 600.0
    """Waiting period after a failure; it doubles with each further failure in a row."""
    max_back_off_seconds: float = DAY
    """Upper bound of the waiting period after failures."""
    schedule_seconds: float = 0.0
    """Time since the last retrain or promotion after which a retrain starts without any drift;
    0 = never."""
    schedule_cron: str = ""
    """Cron expression of the times at which a retrain starts without any drift; empty = none. It
    goes before `schedule_seconds`."""
    schedule_zone: str = "UTC"
    """Time zone of `schedule_cron`."""
    initial: bool = True
    """Whether the first version is trained automatically while no version is live."""
    max_dead_letter_ratio: float = 0.1
    """Share of dead letters, late events included, above which a window is left out: it neither
    triggers a retrain nor is it trained on. A broken producer has to be fixed, not learnt."""
    tolerance: Tolerance = Tolerance()
    """When data are broken. New values and new fields are not: they are drift."""
    max_windows: int = 256
    """Windows remembered one by one; older ones are joined in pairs."""


class PolicyInput(msgspec.Struct, frozen=True, kw_only=True):
    """The facts that a decision depends on."""

    running: str = ""
    """record_id of the request in flight; empty when there is none."""
    running_since: float = 0.0
    """Start of the request in flight, seconds since 1970."""
    running_progress: str = ""
    """Latest progress of the request in flight, in words."""
    rollout: int = 0
    """Version that is being rolled out; 0 = none."""
    rollout_seen_at: float = 0.0
    """Time of the latest record of that rollout, seconds since 1970."""
    starts: tuple[float, ...] = ()
    """Start times of the latest retrains; those outside the budget period are ignored."""
    failures: int = 0
    """Retrains without a promotion since the last promotion."""
    failed_at: float = 0.0
    """Time of the latest failure, seconds since 1970."""
    last_ended_at: float = 0.0
    """End of the last retrain or promotion, seconds since 1970; 0 = never."""
    shift_seconds: float | None = None
    """How long the shift has lasted in event time; None when the cause is not a shift."""
    rows: int = 0
    """Usable rows; only those after the shift when there is one."""
    broken: str = ""
    """Why the data are broken, in words; empty when they are not."""
    labels: int = 0
    """Labels that have arrived for those rows."""
    rows_needed: int = 0
    """Labelled rows that the last evaluation asked for, because it was insufficient; 0 = it was
    not."""


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """Start, or why not."""

    outcome: Outcome
    code: Code
    reason: str
    """One sentence with the values that decided."""
    result_id: str = ""
    """record_id of the running request that a merged trigger joins."""


def decide(cause: Cause, facts: PolicyInput, rules: RetrainRules, *, now: float) -> Decision:
    """Whether a retrain for `cause` starts at `now`.

    A person's request (``manual``) skips debounce, cool-down and back-off, and is refused where
    an automatic one waits.

    >>> decide("drift", PolicyInput(rows=9_000, labels=800), RetrainRules(), now=0.0).reason
    '800 of 5000 labelled rows so far (9000 rows, 800 labels).'
    """
    blocked: Outcome = "refused" if cause == "manual" else "wait"
    obstacle = (
        _in_progress(facts, rules, blocked, now)
        or _broken(facts, blocked)
        or _budget(facts, rules, blocked, now)
    )
    if obstacle is None and cause != "manual":
        obstacle = _waiting_period(cause, facts, rules, now)
    return obstacle or _enough_labels(cause, facts, rules, blocked)


def budget_left(starts: Sequence[float], rules: RetrainRules, now: float) -> int:
    """How many retrains may still start within the period of the budget.

    >>> budget_left((0.0, 90_000.0), RetrainRules(budget_runs=4), 100_000.0)
    3
    """
    recent = [start for start in starts if now - start < rules.budget_seconds]
    return max(0, rules.budget_runs - len(recent))


def back_off(failures: int, rules: RetrainRules) -> float:
    """Waiting period after `failures` failures in a row, seconds.

    >>> [back_off(n, RetrainRules()) for n in (0, 1, 2, 3)]
    [0.0, 600.0, 1200.0, 2400.0]
    """
    if failures == 0:
        return 0.0
    doublings: int = min(failures - 1, 30)
    return float(min(rules.back_off_seconds * 2**doublings, rules.max_back_off_seconds))


def rolling_out(facts: PolicyInput, rules: RetrainRules, now: float) -> bool:
    """Whether a rollout is under way; one without recent records no longer counts."""
    return facts.rollout > 0 and now - facts.rollout_seen_at < rules.rollout_timeout_seconds


def _in_progress(
    facts: PolicyInput, rules: RetrainRules, blocked: Outcome, now: float
) -> Decision | None:
    if facts.running:
        progress = f" ({facts.running_progress})" if facts.running_progress else ""
        since = now - facts.running_since
        return Decision(
            outcome="merged",
            code="in-flight",
            reason=f"Merged with retrain {facts.running}, running for {since:.0f} s{progress}.",
            result_id=facts.running,
        )
    if rolling_out(facts, rules, now):
        return Decision(
            outcome=blocked,
            code="rollout",
            reason=f"Version {facts.rollout} is being rolled out; a retrain waits for its end.",
        )
    return None


def _broken(facts: PolicyInput, blocked: Outcome) -> Decision | None:
    """The retrain's gate would refuse such data, so the retrain is not asked for."""
    if not facts.broken:
        return None
    return Decision(
        outcome=blocked,
        code="broken",
        reason=f"The data is broken ({facts.broken}). Fix the producer, or accept the change of "
        "the schema (`driftline schema propose`).",
    )


def _budget(
    facts: PolicyInput, rules: RetrainRules, blocked: Outcome, now: float
) -> Decision | None:
    if budget_left(facts.starts, rules, now):
        return None
    recent = [start for start in facts.starts if now - start < rules.budget_seconds]
    seconds_left = min(recent, default=now) + rules.budget_seconds - now
    return Decision(
        outcome=blocked,
        code="budget",
        reason=f"The budget of {rules.budget_runs} retrains in {rules.budget_seconds:.0f} s is "
        f"spent; the next one may start in {seconds_left:.0f} s.",
    )


def _waiting_period(
    cause: Cause, facts: PolicyInput, rules: RetrainRules, now: float
) -> Decision | None:
    pause = back_off(facts.failures, rules)
    seconds_left = facts.failed_at + pause - now
    if facts.failures and seconds_left > 0:
        return Decision(
            outcome="wait",
            code="back-off",
            reason=f"{facts.failures} retrain(s) gave no promotion; the next try is in "
            f"{seconds_left:.0f} s (back-off of {pause:.0f} s).",
        )
    seconds_left = facts.last_ended_at + rules.cooldown_seconds - now
    if cause != "initial" and facts.last_ended_at and seconds_left > 0:
        return Decision(
            outcome="wait",
            code="cool-down",
            reason=f"Cooling down for another {seconds_left:.0f} s of {rules.cooldown_seconds:.0f} "
            "s after the last retrain or promotion.",
        )
    if facts.shift_seconds is not None and facts.shift_seconds < rules.debounce_seconds:
        return Decision(
            outcome="wait",
            code="debounce",
            reason=f"The shift has lasted {facts.shift_seconds:.0f} s; a retrain starts once it "
            f"has lasted {rules.debounce_seconds:.0f} s.",
        )
    return None


def _enough_labels(
    cause: Cause, facts: PolicyInput, rules: RetrainRules, blocked: Outcome
) -> Decision:
    initial = rules.min_initial_rows if cause == "initial" else 0
    needed = max(1, initial or rules.min_labelled_rows)
    labelled = min(facts.rows, facts.labels)
    counts = f"{facts.rows} rows, {facts.labels} labels"
    if cause != "manual" and needed <= labelled < facts.rows_needed:
        return Decision(
            outcome="wait",
            code="more-rows",
            reason=f"{labelled} of {facts.rows_needed} labelled rows so far ({counts}); the last "
            "evaluation had too few to show whether the new model is better.",
        )
    if labelled < needed:
        return Decision(
            outcome=blocked,
            code="labels" if facts.rows else "no-data",
            reason=f"{labelled} of {needed} labelled rows so far ({counts}).",
        )
    return Decision(
        outcome="start",
        code="start",
        reason=f"{labelled} labelled rows ({counts}) where {needed} are needed.",
    )
