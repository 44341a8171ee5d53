"""Turns scraped counters into the counts that the gates judge.

Counters are subtracted between consecutive scrapes. A pair with a restart of Envoy, or with a
decreasing counter, adds nothing to either arm. A gap (Prometheus was down) is bridged, because
counters are cumulative. A block closes at the first scrape after its end: missing data merges
blocks and never creates one.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from serving.ports import Arm, ArmCounters, Scrape
from serving.rules import EjectionRules, RolloutRules
from serving.state import ArmCounts, Block

MIRRORED = -1
"""`Block.step` of copied traffic."""

FULL_BLOCKS = 512
"""Number of blocks after which blocks get longer, so that the state of a rollout of days stays
small. Any length that depends only on the number of earlier blocks keeps the e-process valid."""

_RESTART_SLACK_SECONDS = 3.0
_NO_REQUESTS = {"requests": 0, "errors": 0, "timed": 0, "slow": 0}


def begin_run(counts: ArmCounts, *, step: int) -> ArmCounts:
    """Start a new period at one weight: drop the open block and keep the closed ones."""
    return replace(
        counts,
        run=counts.run + 1,
        step=step,
        open_block=None,
        last_scrape=None,
        open_check=None,
        bad_checks=0,
        good_checks=0,
        last_bad_at=0.0,
    )


def add_scrapes(
    counts: ArmCounts, scrapes: Iterable[Scrape], *, since: float, rules: RolloutRules, alone: bool
) -> ArmCounts:
    """Add scrapes to the counts.

    Parameters
    ----------
    counts:
        The counts so far.
    scrapes:
        Oldest first. Scrapes not newer than the last counted one are ignored.
    since:
        When the weight was confirmed. Ejection checks begin then, blocks `warm_seconds` later.
    rules:
        Lengths of blocks and ejection checks.
    alone:
        True while baking: the stable arm takes the canary's place and there is no control.
    """
    for scrape in scrapes:
        last = counts.last_scrape
        if scrape.at < since or (last is not None and scrape.at <= last.at):
            continue
        counts = _add_scrape(counts, scrape, since=since, rules=rules, alone=alone)
    return counts


def difference(before: Scrape, after: Scrape, *, run: int, step: int, alone: bool) -> Block | None:
    """The counts between two scrapes; None when the counters were reset in between."""
    start_shift = (after.at - after.uptime_seconds) - (before.at - before.uptime_seconds)
    if start_shift > _RESTART_SLACK_SECONDS:
        return None
    canary_arm, control_arm = _arms(step, alone)
    canary = _subtract(before, after, canary_arm)
    control = _NO_REQUESTS if control_arm is None else _subtract(before, after, control_arm)
    if canary is None or control is None:
        return None
    return Block(
        run=run,
        step=step,
        n1=canary["requests"],
        n0=control["requests"],
        errors1=canary["errors"],
        errors0=control["errors"],
        timed1=canary["timed"],
        timed0=control["timed"],
        slow1=canary["slow"],
        slow0=control["slow"],
    )


def add(a: Block, b: Block) -> Block:
    """The sum of the counts, with the run and step of `a`."""
    return Block(
        a.run,
        a.step,
        a.n1 + b.n1,
        a.n0 + b.n0,
        a.errors1 + b.errors1,
        a.errors0 + b.errors0,
        a.timed1 + b.timed1,
        a.timed0 + b.timed0,
        a.slow1 + b.slow1,
        a.slow0 + b.slow0,
    )


def block_seconds(blocks: int, seconds: float) -> float:
    """Length of the next block after `blocks` closed ones.

    >>> [block_seconds(n, 5.0) for n in (0, 511, 512, 640)]
    [5.0, 5.0, 10.0, 20.0]
    """
    if blocks < FULL_BLOCKS:
        return seconds
    return seconds * 2.0 ** ((blocks - FULL_BLOCKS) // 128 + 1)


def is_bad(pooled: Block, rules: EjectionRules, *, alone: bool = False) -> bool:
    """Whether an ejection check is bad: the canary fails or is slow, and the control is healthy."""

    def worse(bad1: int, n1: int, bad0: int, n0: int) -> bool:
        control_healthy = alone or (
            n0 >= rules.min_requests and bad0 <= rules.max_control_share * n0
        )
        return n1 >= rules.min_requests and bad1 >= rules.bad_share * n1 and control_healthy

    return worse(pooled.errors1, pooled.n1, pooled.errors0, pooled.n0) or worse(
        pooled.slow1, pooled.timed1, pooled.slow0, pooled.timed0
    )


def _add_scrape(
    counts: ArmCounts, scrape: Scrape, *, since: float, rules: RolloutRules, alone: bool
) -> ArmCounts:
    last = counts.last_scrape
    change = (
        None
        if last is None
        else difference(last, scrape, run=counts.run, step=counts.step, alone=alone)
    )
    if change is not None:
        counts = _check(counts, change, scrape.at, rules.ejection, alone=alone)
        if counts.open_block is not None:
            counts = replace(counts, open_block=add(counts.open_block, change))
    counts = replace(counts, last_scrape=scrape)
    empty = Block(run=counts.run, step=counts.step)
    if counts.open_block is None:
        if scrape.at < since + rules.warm_seconds:
            return counts
        return replace(counts, open_block=empty, open_since=scrape.at)
    if scrape.at - counts.open_since < block_seconds(len(counts.blocks), rules.block_seconds) - 0.5:
        return counts
    return replace(
        counts,
        blocks=(*counts.blocks, counts.open_block),
        open_block=empty,
        open_since=scrape.at,
    )


def _check(
    counts: ArmCounts, change: Block, at: float, rules: EjectionRules, *, alone: bool
) -> ArmCounts:
    """Pool `change` into the open ejection check; close the check when it can be decided."""
    pooled = change if counts.open_check is None else add(counts.open_check, change)
    since = at if counts.open_check is None else counts.check_since
    if is_bad(pooled, rules, alone=alone):
        bad_checks = counts.bad_checks + 1
        return replace(
            counts, open_check=None, bad_checks=bad_checks, good_checks=0, last_bad_at=at
        )
    # Durations arrive a little later than counts: a good check needs both.
    if pooled.timed1 >= rules.min_requests and (alone or pooled.timed0 >= rules.min_requests):
        return replace(counts, open_check=None, bad_checks=0, good_checks=counts.good_checks + 1)
    if at - since >= rules.max_seconds:
        return replace(counts, open_check=None)
    return replace(counts, open_check=pooled, check_since=since)


def _arms(step: int, alone: bool) -> tuple[Arm, Arm | None]:
    if alone:
        return "stable", None
    return ("mirror-canary", "mirror-control") if step == MIRRORED else ("canary", "control")


def _subtract(before: Scrape, after: Scrape, arm: Arm) -> dict[str, int] | None:
    old, new = _counters(before, arm), _counters(after, arm)
    if new.requests < old.requests or new.timed < old.timed:
        return None
    return {
        # An error may be counted before its request completes. Do not clip: the sum is right.
        "requests": new.requests - old.requests,
        "errors": new.errors - old.errors,
        "timed": new.timed - old.timed,
        "slow": new.slow - old.slow,
    }


def _counters(scrape: Scrape, arm: Arm) -> ArmCounters:
    for counters in scrape.arms:
        if counters.arm == arm:
            return counters
    return ArmCounters(arm=arm, requests=0, errors=0, timed=0, slow=0)
