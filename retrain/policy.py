"""Whether a retrain starts now: debounce, cool-down, budget, one in flight, enough labels.

Pure: `decide` takes the situation and the time and gives an outcome, a sentence with the values
behind it, and those values. It neither remembers nor acts; `handlers` does both.

The order of the questions is the order of the answers: a running retrain or rollout first, then
what the rules allow, then the data. So a person always learns the reason that holds longest.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from streaming.contracts.records import Cause, Sample

DAY = 86_400.0

Outcome = Literal["start", "wait", "merged", "refused"]
Code = Literal[
    "start", "in-flight", "rollout", "budget", "back-off", "cool-down", "labels", "no-data", "shift"
]


class RetrainRules(msgspec.Struct, frozen=True, kw_only=True):
    """When a retrain may start. All times in seconds."""

    min_labelled_rows: int = 5_000
    """Labelled rows that a retrain needs; after a shift they must lie after it."""
    min_initial_rows: int = 0
    """The same for the first version; 0 = `min_labelled_rows`."""
    max_rows: int = 200_000
    """Rows that one retrain replays at most; the newest are kept."""
    after_shift_share: float = 0.7
    """Share of the rows that lies after the shift; the rest is history, so that the model keeps
    what still holds."""
    confirm_windows: int = 1
    """Debounce: drifted windows before a shift counts. The verdict has already asked for a
    sustained run (3 of 5), so one is enough."""
    forget_windows: int = 5
    """Stable windows in a row after which a shift is over without a retrain."""
    label_delay_seconds: float = 0.0
    """How long a label takes: labels that arrive sooner after the shift belong to rows before."""
    cooldown_seconds: float = 1_800.0
    """Rest after the end of a retrain or a promotion."""
    budget_runs: int = 4
    budget_seconds: float = DAY
    """At most `budget_runs` retrains start in any `budget_seconds`."""
    deadline_seconds: float = 7_200.0
    """After this long without an outcome the worker counts as lost."""
    rollout_seconds: float = 6 * 3_600.0
    """A rollout that was heard of last this long ago blocks no more."""
    back_off_seconds: float = 600.0
    """Rest after a failure; doubles with each further one."""
    max_back_off_seconds: float = DAY
    schedule_seconds: float = 0.0
    """Retrain this long after the last one, drift or not; 0 = never."""
    initial: bool = True
    """Train the first version by itself when nothing is live."""
    max_dead_ratio: float = 0.1
    """A window that lost a larger share to the dead letters is neither a trigger nor data: a
    broken producer is mended, not learnt."""
    breaking_anomalies: tuple[str, ...] = (
        "SCHEMA_MISSING_COLUMN",
        "SCHEMA_NEW_COLUMN",
        "FEATURE_TYPE_NOT_PRESENT",
        "FEATURE_TYPE_LOW_FRACTION_PRESENT",
        "FEATURE_TYPE_LOW_NUMBER_PRESENT",
        "UNEXPECTED_DATA_TYPE",
    )
    """TFDV's codes for broken data, treated like dead letters. New values of a text are not
    among them: they are drift."""
    max_windows: int = 256
    """Windows remembered one by one; older ones are joined in pairs."""


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    """What a decision depends on."""

    running: str = ""
    """record_id of the request in flight."""
    running_since: float = 0.0
    running_where: str = ""
    """The latest progress in words."""
    rollout: int = 0
    """The version that is being rolled out; 0 = none."""
    rollout_heard: float = 0.0
    starts: tuple[float, ...] = ()
    """When the retrains of the budget period started."""
    failures: int = 0
    """Retrains without a promotion since the last promotion."""
    failed_at: float = 0.0
    rested_at: float = 0.0
    """When the last retrain or promotion ended; 0 = never."""
    rows: int = 0
    """Usable rows there are: after the shift where there is one."""
    labels: int = 0
    """Labels that arrived for them."""


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """Start, or why not."""

    outcome: Outcome
    code: Code
    reason: str
    evidence: tuple[Sample, ...] = ()
    result_id: str = ""
    """The running request that a merged trigger joins."""


def decide(cause: Cause, situation: Situation, rules: RetrainRules, *, now: float) -> Decision:
    """Whether a retrain for `cause` starts at `now`.

    A person's request (``manual``) goes past cool-down and back-off, and is refused where
    others wait.

    >>> decide("drift", Situation(rows=9_000, labels=800), RetrainRules(), now=0.0).reason
    '800 of 5000 labelled rows so far (9000 rows, 800 labels).'
    """
    held: Outcome = "refused" if cause == "manual" else "wait"
    obstacle = _busy(situation, rules, held, now) or _spent(situation, rules, held, now)
    if obstacle is None and cause != "manual":
        obstacle = _resting(cause, situation, rules, now)
    return obstacle or _labelled(cause, situation, rules, held)


def back_off(failures: int, rules: RetrainRules) -> float:
    """Rest after `failures` failures in a row, seconds.

    >>> [back_off(n, RetrainRules()) for n in (0, 1, 2, 3)]
    [0.0, 600.0, 1200.0, 2400.0]
    """
    if failures == 0:
        return 0.0
    doublings: int = min(failures - 1, 30)
    return float(min(rules.back_off_seconds * 2**doublings, rules.max_back_off_seconds))


def rolling_out(situation: Situation, rules: RetrainRules, now: float) -> bool:
    """Whether a rollout is under way, as far as anybody has heard."""
    return situation.rollout > 0 and now - situation.rollout_heard < rules.rollout_seconds


def _busy(situation: Situation, rules: RetrainRules, held: Outcome, now: float) -> Decision | None:
    if situation.running:
        where = f" ({situation.running_where})" if situation.running_where else ""
        since = now - situation.running_since
        return Decision(
            outcome="merged",
            code="in-flight",
            reason=f"Merged with retrain {situation.running}, running for {since:.0f} s{where}.",
            evidence=_values(running_seconds=since),
            result_id=situation.running,
        )
    if rolling_out(situation, rules, now):
        return Decision(
            outcome=held,
            code="rollout",
            reason=f"Version {situation.rollout} is being rolled out; a retrain waits for its end.",
            evidence=_values(rollout_version=situation.rollout),
        )
    return None


def _spent(situation: Situation, rules: RetrainRules, held: Outcome, now: float) -> Decision | None:
    recent = [start for start in situation.starts if now - start < rules.budget_seconds]
    if len(recent) < rules.budget_runs:
        return None
    free = min(recent, default=now) + rules.budget_seconds - now
    return Decision(
        outcome=held,
        code="budget",
        reason=f"The budget of {rules.budget_runs} retrains in {rules.budget_seconds:.0f} s is "
        f"spent; the next one may start in {free:.0f} s.",
        evidence=_values(retrains=len(recent), budget=rules.budget_runs, free_in_seconds=free),
    )


def _resting(
    cause: Cause, situation: Situation, rules: RetrainRules, now: float
) -> Decision | None:
    rest = back_off(situation.failures, rules)
    left = situation.failed_at + rest - now
    if situation.failures and left > 0:
        return Decision(
            outcome="wait",
            code="back-off",
            reason=f"{situation.failures} retrain(s) gave no promotion; the next try is in "
            f"{left:.0f} s (rest of {rest:.0f} s).",
            evidence=_values(failures=situation.failures, left_seconds=left),
        )
    left = situation.rested_at + rules.cooldown_seconds - now
    if cause != "initial" and situation.rested_at and left > 0:
        return Decision(
            outcome="wait",
            code="cool-down",
            reason=f"Cooling down for another {left:.0f} s of {rules.cooldown_seconds:.0f} s after "
            "the last retrain or promotion.",
            evidence=_values(left_seconds=left),
        )
    return None


def _labelled(cause: Cause, situation: Situation, rules: RetrainRules, held: Outcome) -> Decision:
    initial = rules.min_initial_rows if cause == "initial" else 0
    needed = max(1, initial or rules.min_labelled_rows)
    labelled = min(situation.rows, situation.labels)
    evidence = _values(rows=situation.rows, labels=situation.labels, needed=needed)
    counts = f"{situation.rows} rows, {situation.labels} labels"
    if labelled < needed:
        return Decision(
            outcome=held,
            code="labels" if situation.rows else "no-data",
            reason=f"{labelled} of {needed} labelled rows so far ({counts}).",
            evidence=evidence,
        )
    return Decision(
        outcome="start",
        code="start",
        reason=f"{labelled} labelled rows ({counts}) where {needed} are needed.",
        evidence=evidence,
    )


def _values(**values: float) -> tuple[Sample, ...]:
    return tuple(Sample(name=name, value=float(value)) for name, value in values.items())
