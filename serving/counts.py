"""Turns scraped counters into the counts that the gates judge.

Counters are subtracted between consecutive scrapes. A gap (Prometheus was down) is bridged, because
counters are cumulative. A scrape that lacks a counter is left out like a gap. A restart of Envoy,
or counters that stay incompatible with the earlier ones, begin anew: that pair of scrapes adds
nothing to any arm. A block closes at the first scrape after its end: missing data merges blocks and
never creates one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec.structs import astuple, replace

from serving.ports import Arm, ArmCounters, Scrape
from serving.rules import EjectionRules, RolloutRules
from serving.slice_counts import add_slices, slice_differences
from serving.state import ArmCounts, Block

MIRRORED = -1
"""`Block.step` of copied traffic."""

BEFORE = -2
"""`Block.step` of the stable arm's requests before the canary had any. They are judged by no gate:
they show how much the errors of a server vary by themselves."""

MAX_BEFORE = 240
"""Blocks that are kept of that time, 20 min."""

FULL_BLOCKS = 512
"""Number of blocks after which blocks get longer, so that the state of a rollout of days stays
small. Any length that depends only on the number of earlier blocks keeps the e-process valid."""

MAX_INCOMPLETE = 3
"""Consecutive scrapes that may be left out as incomplete; the next one begins anew."""

IN_FLIGHT = 32
"""Requests of an arm whose counters may not be in step, because they are still being answered."""

_RESTART_SLACK_SECONDS = 3.0
_NO_REQUESTS = {"requests": 0, "errors": 0, "timed": 0, "slow": 0}

KNOWN_SECONDS = 5.0
"""The traffic is known after this time. It is not measured on at a weight: traffic that ceases must
not put the deadline off."""


def begin_run(counts: ArmCounts, *, step: int) -> ArmCounts:
    """Start a new period at one weight. The open block is closed as it is: what happened before a
    protective pause counts."""
    return replace(
        counts,
        blocks=_with_open_block(counts),
        run=counts.run + 1,
        step=step,
        open_block=None,
        last_scrape=None,
        incomplete=0,
        open_check=None,
        bad_checks=0,
        good_checks=0,
        last_bad_at=0.0,
        heard_at=None,
    )


def restart_control(counts: ArmCounts) -> ArmCounts:
    """Judge the control by what comes from now on: its server was replaced."""
    blocks = _with_open_block(counts)
    if counts.control_from == len(blocks):
        return counts
    return replace(counts, blocks=blocks, open_block=None, control_from=len(blocks))


def discard(counts: ArmCounts) -> ArmCounts:
    """Judge nothing by what was counted so far: a sick control is in it."""
    counts = restart_control(counts)
    return replace(counts, discarded=len(counts.blocks), control_from=len(counts.blocks))


def _with_open_block(counts: ArmCounts) -> tuple[Block, ...]:
    block = counts.open_block
    counted = block is not None and (block.n1 or block.n0 or block.timed1 or block.timed0)
    return (*counts.blocks, block) if block is not None and counted else counts.blocks


def add_scrapes(
    counts: ArmCounts,
    scrapes: Iterable[Scrape],
    *,
    since: float,
    rules: RolloutRules,
    now: float | None = None,
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
    now:
        When they arrived, by the clock of this process. Silence is measured by it, because the
        clock of the scrapes may be another one.
    """
    for scrape in scrapes:
        last = counts.last_scrape
        if scrape.at < since or (last is not None and scrape.at <= last.at):
            continue
        counts = _add_scrape(counts, scrape, since=since, rules=rules)
        counts = replace(counts, heard_at=scrape.at if now is None else now)
    return counts


def add_traffic(counts: ArmCounts, scrapes: Iterable[Scrape], *, seconds: float = 5.0) -> ArmCounts:
    """Measure the traffic before the first weight: the requests of the stable arm, which gets all.

    Nothing is judged by it; its blocks of `seconds` show how the errors of one server vary.
    """
    for scrape in scrapes:
        last = counts.last_scrape
        if last is not None and scrape.at <= last.at:
            continue
        change = None if last is None else difference(last, scrape, run=0, step=0, alone=True)
        if last is not None and change is not None:
            counts = replace(
                counts,
                measured_seconds=counts.measured_seconds + scrape.at - last.at,
                measured_requests=counts.measured_requests + change.n1,
                measured_slices=add_slices(counts.measured_slices, change.slices),
            )
            counts = _add_before(counts, change, last.at, scrape.at, seconds)
        counts = replace(counts, last_scrape=scrape)
    return counts


def _add_before(
    counts: ArmCounts, change: Block, since: float, until: float, seconds: float
) -> ArmCounts:
    """Add requests of the stable arm to its open block, and close it once it is long enough."""
    more = Block(
        0,
        BEFORE,
        n_stable=change.n1,
        errors_stable=change.errors1,
        timed_stable=change.timed1,
        slow_stable=change.slow1,
    )
    if counts.open_block is None:
        counts = replace(counts, open_since=since)
    block = more if counts.open_block is None else add(counts.open_block, more)
    if until - counts.open_since < seconds - 0.5:
        return replace(counts, open_block=block)
    if len(counts.blocks) >= MAX_BEFORE:
        return replace(counts, open_block=None)
    return replace(counts, open_block=None, blocks=(*counts.blocks, block))


def blocks_before(blocks: Sequence[Block]) -> int:
    """The number of blocks of the time before the first weight; they are the first ones."""
    return next((n for n, block in enumerate(blocks) if block.step != BEFORE), len(blocks))


def difference(
    before: Scrape, after: Scrape, *, run: int, step: int, alone: bool = False
) -> Block | None:
    """The counts between two scrapes; None when the counters were reset in between, or when one of
    the scrapes lacks a counter."""
    if _restarted(before, after):
        return None
    arms = _arms(step, alone)
    if not all(_fit(before, after, arm, _counterpart(arm)) for arm in arms if arm is not None):
        return None
    slices = slice_differences(before, after, arms)
    if slices is None:
        return None
    canary, control, stable = (
        _NO_REQUESTS if arm is None else _subtract(before, after, arm) for arm in arms
    )
    return Block(
        run,
        step,
        n1=canary["requests"],
        n0=control["requests"],
        errors1=canary["errors"],
        errors0=control["errors"],
        timed1=canary["timed"],
        timed0=control["timed"],
        slow1=canary["slow"],
        slow0=control["slow"],
        n_stable=stable["requests"],
        errors_stable=stable["errors"],
        timed_stable=stable["timed"],
        slow_stable=stable["slow"],
        slices=slices,
    )


def _restarted(before: Scrape, after: Scrape) -> bool:
    """Whether the scrapes come from two processes: their start times differ."""
    shift = (after.at - after.uptime_seconds) - (before.at - before.uptime_seconds)
    return abs(shift) > _RESTART_SLACK_SECONDS


def _fit(before: Scrape, after: Scrape, arm: Arm, counterpart: Arm | None) -> bool:
    """Whether the counters of an arm can follow each other.

    One that is missing in a scrape, or that begins again under another address, shows as a fall of
    the counts, or as more errors, durations or requests than can have come. `counterpart` gets the
    same traffic: a change that is far above its own is a counter that was missing before.
    """
    change = _subtract(before, after, arm)
    requests = change["requests"]
    if min(requests, change["timed"], change["slow"]) < 0 or change["slow"] > change["timed"]:
        return False
    if abs(change["errors"]) > requests + IN_FLIGHT:
        return False
    if change["timed"] > 2 * requests + 8 * IN_FLIGHT:
        return False
    if counterpart is None:
        return True
    beside = _subtract(before, after, counterpart)["requests"]
    return requests <= 10 * max(0, beside) + IN_FLIGHT


def _counterpart(arm: Arm) -> Arm | None:
    counterparts: dict[Arm, Arm] = {
        "canary": "control",
        "control": "canary",
        "mirror-canary": "mirror-control",
        "mirror-control": "mirror-canary",
    }
    return counterparts.get(arm)


def add(a: Block, b: Block) -> Block:
    """The sum of the counts, with the run and step of `a`."""
    counts = zip(astuple(a)[2:-1], astuple(b)[2:-1], strict=True)
    total = Block(a.run, a.step, *(x + y for x, y in counts))
    if not (a.slices or b.slices):
        return total
    return replace(total, slices=add_slices(a.slices, b.slices))


def block_seconds(blocks: int, seconds: float) -> float:
    """Length of the next block after `blocks` closed ones.

    >>> [block_seconds(n, 5.0) for n in (0, 511, 512, 640)]
    [5.0, 5.0, 10.0, 20.0]
    """
    if blocks < FULL_BLOCKS:
        return seconds
    return seconds * 2.0 ** ((blocks - FULL_BLOCKS) // 128 + 1)


def is_bad(
    pooled: Block, rules: EjectionRules, *, share: float | None = None, requests: int = 0
) -> bool:
    """Whether an ejection check is bad: the canary fails or is slow, and an arm with the champion
    is healthy. A sick control does not keep a dead canary in traffic.

    Errors and slow responses are judged apart and together: of a server that answers at about
    `EnvoyLayout.retry_after_seconds`, another one answers some requests (errors), others are slow.

    Parameters
    ----------
    pooled:
        The counts of the check.
    share:
        Share of bad requests from which it is bad; those of the rules by default.
    requests:
        Requests that the canary needs, if more than in the rules.
    """
    together = rules.together_share if share is None else share
    limit = rules.bad_share if share is None else share
    b = pooled
    errors = (b.errors1, b.n1), (b.errors0, b.n0), (b.errors_stable, b.n_stable)
    slow = (b.slow1, b.timed1), (b.slow0, b.timed0), (b.slow_stable, b.timed_stable)

    def healthy(arm: Sequence[tuple[int, int]]) -> bool:
        enough = min(n for _, n in arm) >= rules.min_requests
        return enough and _bad_share(arm) <= rules.max_control_share

    def worse(limit: float, *kinds: tuple[tuple[int, int], ...]) -> bool:
        canary, *champions = zip(*kinds, strict=True)
        enough = min(n for _, n in canary) >= max(requests, rules.min_requests)
        return enough and _bad_share(canary) >= limit and any(map(healthy, champions))

    return worse(limit, errors) or worse(limit, slow) or worse(together, errors, slow)


def _bad_share(kinds: Iterable[tuple[int, int]]) -> float:
    """Sum of the shares of each kind of bad requests: durations come a little later than counts."""
    return sum(bad / n for bad, n in kinds)


def _add_scrape(
    counts: ArmCounts, scrape: Scrape, *, since: float, rules: RolloutRules
) -> ArmCounts:
    last = counts.last_scrape
    change = None
    if last is not None:
        change = difference(last, scrape, run=counts.run, step=counts.step)
        left_out = counts.incomplete < MAX_INCOMPLETE and not _restarted(last, scrape)
        if change is None and left_out:
            return replace(counts, incomplete=counts.incomplete + 1)
    if last is not None and change is not None:
        if counts.measured_seconds < KNOWN_SECONDS:
            counts = replace(
                counts,
                measured_seconds=counts.measured_seconds + scrape.at - last.at,
                measured_requests=counts.measured_requests + _clients(change),
                measured_slices=add_slices(counts.measured_slices, change.slices),
            )
        counts = _check(counts, change, (last.at, scrape.at), rules.ejection)
        if counts.open_block is not None:
            counts = replace(counts, open_block=add(counts.open_block, change))
    counts = replace(counts, incomplete=0, last_scrape=scrape)
    empty = Block(run=counts.run, step=counts.step)
    if counts.open_block is None:
        if scrape.at < since + rules.warm_seconds:
            return counts
        return replace(counts, open_block=empty, open_since=scrape.at)
    judged = len(counts.blocks) - blocks_before(counts.blocks)
    if scrape.at - counts.open_since < block_seconds(judged, rules.block_seconds) - 0.5:
        return counts
    return replace(
        counts,
        blocks=(*counts.blocks, counts.open_block),
        open_block=empty,
        open_since=scrape.at,
    )


def _check(
    counts: ArmCounts, change: Block, span: tuple[float, float], rules: EjectionRules
) -> ArmCounts:
    """Pool `change`, between two scrapes, into the open ejection check; close the check when it
    can be decided."""
    began, at = span
    pooled = change if counts.open_check is None else add(counts.open_check, change)
    since = began if counts.open_check is None else counts.check_since
    whole = any(  # what is pooled with the latest scrape may be from before the fault
        is_bad(block, rules, share=rules.whole_share, requests=rules.whole_requests)
        for block in (change, pooled)
    )
    if not whole and at - since < rules.min_seconds:
        return replace(counts, open_check=pooled, check_since=since)
    if whole or is_bad(pooled, rules):
        bad_checks = counts.bad_checks + 1
        if whole:
            bad_checks = max(bad_checks, rules.bad_checks)
        return replace(
            counts, open_check=None, bad_checks=bad_checks, good_checks=0, last_bad_at=at
        )
    # Durations arrive a little later than counts: a good check needs both.
    if pooled.timed1 >= rules.min_requests and pooled.timed0 >= rules.min_requests:
        return replace(counts, open_check=None, bad_checks=0, good_checks=counts.good_checks + 1)
    if at - since >= rules.max_seconds:
        return replace(counts, open_check=None)
    return replace(counts, open_check=pooled, check_since=since)


def _clients(change: Block) -> int:
    """Requests of clients; copies are not."""
    return change.n_stable + (0 if change.step == MIRRORED else change.n1 + change.n0)


def _arms(step: int, alone: bool) -> tuple[Arm, Arm | None, Arm | None]:
    if alone:
        return "stable", None, None
    if step == MIRRORED:
        return "mirror-canary", "mirror-control", "stable"
    return "canary", "control", "stable"


def _subtract(before: Scrape, after: Scrape, arm: Arm) -> dict[str, int]:
    old, new = _counters(before, arm), _counters(after, arm)
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
