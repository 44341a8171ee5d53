"""Guardrails: failed and slow requests of each arm against the champion's, by Envoy's counters.

Two rules take an arm out. At once: half of its requests fail or are slow in two consecutive blocks
while the champion is healthy. By evidence: an e-process on bad requests per block, over the whole
experiment and over each epoch, together with an observed excess above the tolerated one.

The requests of a user are not independent, so the evidence alone would take a user whose requests
always fail for harm by the version. The tolerated excess is what keeps that rare; where a few users
make most of the requests, the guardrail protects them and may be wrong about the version.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import log, pi

import numpy as np
from msgspec.structs import replace

from serving.evalues import decided, log_mixed, share_bets
from serving.experiment_rules import ExperimentRules
from serving.experiments.arms import arms_of
from serving.experiments.state import ArmGuard, BadRequests, Experiment
from serving.ports import Arm, ArmCounters, Scrape
from streaming.contracts.records import GateResult
from streaming.contracts.rollout_records import GateOutcome, GateSample

MAX_LEFT_OUT = 3
MIN_REQUESTS = 20
"""Requests of both arms below which an excess is not judged."""
CHECK_REQUESTS = 5
_RESTART_SLACK_SECONDS = 3.0
_BAD_SHARE, _HEALTHY_SHARE = 0.5, 0.1


def add_scrapes(
    experiment: Experiment, scrapes: Iterable[Scrape], rules: ExperimentRules
) -> Experiment:
    """Add scrapes, oldest first; those that were counted or come too early are ignored."""
    since = experiment.started_at
    if since is None:
        return experiment
    for scrape in scrapes:
        last = experiment.last_scrape
        if scrape.at < since + rules.warm_seconds or (last is not None and scrape.at <= last.at):
            continue
        experiment = replace(experiment, silent_seconds=0.0)
        if last is None or _restarted(last, scrape):
            experiment = replace(experiment, last_scrape=scrape, left_out=0)
        elif scrape.at - last.at >= rules.block_seconds - 0.5:
            experiment = _add_block(experiment, last, scrape, rules)
    return experiment


def judge(
    experiment: Experiment, guard: ArmGuard, rules: ExperimentRules
) -> tuple[GateResult, ...]:
    """The guardrails of one arm: errors and slow responses."""
    alpha = rules.guard_alpha / (2 * (len(experiment.definition.arms) - 1))
    definition = experiment.definition
    return (
        _gate(
            "errors", guard, (guard.errors, guard.errors_of_epoch), definition.errors_pp,
            alpha=alpha, epoch=experiment.epoch, rules=rules,
        ),
        _gate(
            "slow", guard, (guard.slow, guard.slow_of_epoch), definition.slow_pp,
            alpha=alpha, epoch=experiment.epoch, rules=rules,
        ),
    )  # fmt: skip


def _gate(
    name: str,
    guard: ArmGuard,
    counted: tuple[BadRequests, BadRequests],
    margin_pp: float,
    *,
    alpha: float,
    epoch: int,
    rules: ExperimentRules,
) -> GateResult:
    run, recent = counted
    # half of alpha for the whole time, the other half spread over the epochs
    limits = (log(2.0 / alpha), log(2.0 / alpha * pi**2 * epoch**2 / 6.0))
    evidence = [_evidence(part) for part in counted]
    failed = [
        part
        for part, value, limit in zip(counted, evidence, limits, strict=True)
        if value >= limit and 100.0 * part.excess > margin_pp
        and min(part.n1, part.n0) >= MIN_REQUESTS
    ]  # fmt: skip
    dead = guard.bad_checks >= rules.bad_checks
    shown = failed[0] if failed else run
    kind = "failed" if name == "errors" else "slow"
    text = (
        f"{guard.arm}: {shown.bad1} of {shown.n1} requests {kind} "
        f"({100.0 * shown.bad1 / max(1, shown.n1):.2f} %), {shown.bad0} of {shown.n0} of the "
        f"champion's arm; an excess of {margin_pp:g} pp is tolerated."
    )
    outcome: GateOutcome = "pass"
    if failed or dead:
        outcome = "fail"
    elif min(run.n1, run.n0) < MIN_REQUESTS:
        outcome = "insufficient"
    if dead:
        text = f"{guard.arm}: half of its requests failed or were slow. {text}"
    return GateResult(
        gate=f"{name}_{guard.arm}",
        outcome=outcome,
        reason=text,
        query=f"Envoy's counters of the arm since the experiment began ({name})",
        n=run.n1 + run.n0,
        limit=margin_pp / 100.0,
        samples=(
            GateSample(name="log_evidence", value=evidence[0]),
            GateSample(name="log_evidence_of_epoch", value=evidence[1]),
            GateSample(name="excess", value=round(run.excess, 6)),
            GateSample(name="excess_of_epoch", value=round(recent.excess, 6)),
        ),
    )


def _evidence(counted: BadRequests) -> float:
    if not counted.bets:
        return 0.0
    return decided(float(log_mixed(np.array(counted.bets)[:, None])[0]))


def _add_block(
    experiment: Experiment, last: Scrape, scrape: Scrape, rules: ExperimentRules
) -> Experiment:
    arms = arms_of(experiment)
    used = [where for where, arm in arms if arm.name not in experiment.dropped]
    changes = {where: _change(last, scrape, where) for where in used}
    if any(change is None for change in changes.values()):
        if experiment.left_out < MAX_LEFT_OUT:
            return replace(experiment, left_out=experiment.left_out + 1)
        return replace(experiment, last_scrape=scrape, left_out=0)
    if scrape.at - experiment.epoch_since >= rules.epoch_seconds:
        begun = experiment.epoch_since > 0.0
        experiment = replace(
            experiment,
            epoch=experiment.epoch + begun,
            epoch_since=scrape.at,
            guards=tuple(
                replace(guard, errors_of_epoch=BadRequests(), slow_of_epoch=BadRequests())
                for guard in experiment.guards
            ),
        )
    known = {guard.arm: guard for guard in experiment.guards}
    champion = changes["stable"]
    assert champion is not None
    guards = []
    for where, arm in arms[1:]:
        guard = known.get(arm.name, ArmGuard(arm=arm.name))
        change = changes.get(where)
        guards.append(guard if change is None else _guarded(guard, change, champion))
    return replace(experiment, guards=tuple(guards), last_scrape=scrape, left_out=0)


def _guarded(guard: ArmGuard, arm: ArmCounters, champion: ArmCounters) -> ArmGuard:
    errors = (arm.requests, arm.errors, champion.requests, champion.errors)
    slow = (arm.timed, arm.slow, champion.timed, champion.slow)
    dead = _is_dead(*errors) or _is_dead(*slow)
    decidable = arm.requests >= CHECK_REQUESTS
    bad_checks = guard.bad_checks + 1 if dead else guard.bad_checks * (not decidable)
    return replace(
        guard,
        errors=_added(guard.errors, *errors),
        errors_of_epoch=_added(guard.errors_of_epoch, *errors),
        slow=_added(guard.slow, *slow),
        slow_of_epoch=_added(guard.slow_of_epoch, *slow),
        bad_checks=bad_checks,
    )


def _is_dead(n1: int, bad1: int, n0: int, bad0: int) -> bool:
    healthy = n0 >= CHECK_REQUESTS and bad0 <= _HEALTHY_SHARE * n0
    return healthy and n1 >= CHECK_REQUESTS and bad1 >= _BAD_SHARE * n1


def _added(counted: BadRequests, n1: int, bad1: int, n0: int, bad0: int) -> BadRequests:
    pay = share_bets([bad1], [n1], [bad0], [n0])[:, 0]
    before = counted.bets or (0.0,) * len(pay)
    return BadRequests(
        n1=counted.n1 + n1,
        bad1=counted.bad1 + bad1,
        n0=counted.n0 + n0,
        bad0=counted.bad0 + bad0,
        bets=tuple(decided(a + float(b)) for a, b in zip(before, pay, strict=True)),
    )


def _restarted(before: Scrape, after: Scrape) -> bool:
    shift = (after.at - after.uptime_seconds) - (before.at - before.uptime_seconds)
    return abs(shift) > _RESTART_SLACK_SECONDS


def _change(before: Scrape, after: Scrape, arm: Arm) -> ArmCounters | None:
    """The increments of an arm; None where a counter is missing or went back."""
    old, new = _counters(before, arm), _counters(after, arm)
    if new is None or old is None:
        return (
            None if old is not new else ArmCounters(arm=arm, requests=0, errors=0, timed=0, slow=0)
        )
    requests, timed = new.requests - old.requests, new.timed - old.timed
    errors, slow = new.errors - old.errors, new.slow - old.slow
    if min(requests, timed, slow) < 0 or slow > timed:
        return None
    # An error may be counted before its request completes. Do not clip: the sum is right.
    return ArmCounters(arm=arm, requests=requests, errors=errors, timed=timed, slow=slow)


def _counters(scrape: Scrape, arm: Arm) -> ArmCounters | None:
    return next((counters for counters in scrape.arms if counters.arm == arm), None)
