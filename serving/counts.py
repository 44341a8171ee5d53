"""Scrapes into blocks: how the counters of both arms become the counts that are judged.

Counters are subtracted between neighbouring scrapes. A pair between which Envoy began again, or a
counter went backwards, adds nothing to either arm; a gap (Prometheus was away) is bridged, for
counters keep counting. A block closes at the first scrape after its time: missing data merges
blocks, it never invents one.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from serving.ports import Arm, ArmCounters, Scrape
from serving.rules import RolloutRules, Watch
from serving.state import Block, Ledger

MIRRORED = -1
"""`Block.step` of copied traffic."""

FULL_BLOCKS = 512
"""After so many blocks the next ones get longer, so that a rollout of days stays small. Any
length that depends only on the number of blocks before it keeps the e-process valid."""

_RESTART_SLACK_SECONDS = 3.0
_ABSENT = {"requests": 0, "errors": 0, "timed": 0, "slow": 0}


def begin_run(ledger: Ledger, *, step: int) -> Ledger:
    """A new stretch at one weight: the open block is dropped, the closed ones stay."""
    return replace(
        ledger,
        run=ledger.run + 1,
        step=step,
        open=None,
        last=None,
        look=None,
        bad_looks=0,
        good_looks=0,
        bad_at=0.0,
    )


def add_scrapes(
    ledger: Ledger, scrapes: Iterable[Scrape], *, since: float, rules: RolloutRules, alone: bool
) -> Ledger:
    """Count what the scrapes say.

    Parameters
    ----------
    ledger:
        The counts so far.
    scrapes:
        Oldest first; those not newer than the last one counted are left out.
    since:
        When the weight was confirmed; the watch begins here, the blocks `warm_seconds` later.
    rules:
        Lengths of blocks and looks.
    alone:
        In bake: the stable arm takes the canary's place and there is no control.
    """
    for scrape in scrapes:
        if scrape.at < since or (ledger.last is not None and scrape.at <= ledger.last.at):
            continue
        ledger = _add(ledger, scrape, since=since, rules=rules, alone=alone)
    return ledger


def difference(before: Scrape, after: Scrape, *, run: int, step: int, alone: bool) -> Block | None:
    """The counts between two scrapes; None when the counters began again in between."""
    moved = (after.at - after.uptime_seconds) - (before.at - before.uptime_seconds)
    if moved > _RESTART_SLACK_SECONDS:
        return None
    first, second = _arms(step, alone)
    one = _subtract(before, after, first)
    if one is None:
        return None
    twin = None if second is None else _subtract(before, after, second)
    if second is not None and twin is None:
        return None
    other = twin or _ABSENT
    return Block(
        run=run,
        step=step,
        n1=one["requests"],
        n0=other["requests"],
        errors1=one["errors"],
        errors0=other["errors"],
        timed1=one["timed"],
        timed0=other["timed"],
        slow1=one["slow"],
        slow0=other["slow"],
    )


def add(a: Block, b: Block) -> Block:
    """The sum of the counts, in the run and step of `a`."""
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
    """Length of the next block after so many.

    >>> [block_seconds(n, 5.0) for n in (0, 511, 512, 640)]
    [5.0, 5.0, 10.0, 20.0]
    """
    if blocks < FULL_BLOCKS:
        return seconds
    return seconds * 2.0 ** ((blocks - FULL_BLOCKS) // 128 + 1)


def _add(
    ledger: Ledger, scrape: Scrape, *, since: float, rules: RolloutRules, alone: bool
) -> Ledger:
    change = (
        None
        if ledger.last is None
        else difference(ledger.last, scrape, run=ledger.run, step=ledger.step, alone=alone)
    )
    if change is not None:
        ledger = _look(ledger, change, scrape.at, rules.watch, alone=alone)
        if ledger.open is not None:
            ledger = replace(ledger, open=add(ledger.open, change))
    ledger = replace(ledger, last=scrape)
    if ledger.open is None:
        if scrape.at < since + rules.warm_seconds:
            return ledger
        empty = Block(run=ledger.run, step=ledger.step)
        return replace(ledger, open=empty, open_since=scrape.at)
    if scrape.at - ledger.open_since < block_seconds(len(ledger.blocks), rules.block_seconds) - 0.5:
        return ledger
    return replace(
        ledger,
        blocks=(*ledger.blocks, ledger.open),
        open=Block(run=ledger.run, step=ledger.step),
        open_since=scrape.at,
    )


def _look(ledger: Ledger, change: Block, at: float, watch: Watch, *, alone: bool) -> Ledger:
    """Pool until both arms have enough requests, at most `watch.seconds`; then judge the look."""
    look = change if ledger.look is None else add(ledger.look, change)
    since = at if ledger.look is None else ledger.look_since
    if is_bad(look, watch, alone=alone):
        return replace(ledger, look=None, bad_looks=ledger.bad_looks + 1, good_looks=0, bad_at=at)
    # Times come a little later than counts: a look is good only when both are there.
    if look.timed1 >= watch.requests and (alone or look.timed0 >= watch.requests):
        return replace(ledger, look=None, bad_looks=0, good_looks=ledger.good_looks + 1)
    if at - since >= watch.seconds:
        return replace(ledger, look=None)
    return replace(ledger, look=look, look_since=since)


def is_bad(look: Block, watch: Watch, *, alone: bool = False) -> bool:
    """At least half of the canary's requests failed or were slow, and the control is well."""

    def worse(bad1: int, n1: int, bad0: int, n0: int) -> bool:
        well = alone or (n0 >= watch.requests and bad0 <= watch.control_share * n0)
        return n1 >= watch.requests and bad1 >= watch.bad_share * n1 and well

    return worse(look.errors1, look.n1, look.errors0, look.n0) or worse(
        look.slow1, look.timed1, look.slow0, look.timed0
    )


def _arms(step: int, alone: bool) -> tuple[Arm, Arm | None]:
    if alone:
        return "stable", None
    return ("mirror-canary", "mirror-control") if step == MIRRORED else ("canary", "control")


def _subtract(before: Scrape, after: Scrape, arm: Arm) -> dict[str, int] | None:
    old, new = _find(before, arm), _find(after, arm)
    if new.requests < old.requests or new.timed < old.timed:
        return None
    return {
        # An error may be known a moment before its request is finished: no clipping, it adds up.
        "requests": new.requests - old.requests,
        "errors": new.errors - old.errors,
        "timed": new.timed - old.timed,
        "slow": new.slow - old.slow,
    }


def _find(scrape: Scrape, arm: Arm) -> ArmCounters:
    for counters in scrape.arms:
        if counters.arm == arm:
            return counters
    return ArmCounters(arm=arm, requests=0, errors=0, timed=0, slow=0)
