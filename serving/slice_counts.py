"""The counts of slices: differences between scrapes, sums, and shares of the traffic."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec.structs import astuple

from serving.ports import Arm, Scrape, SliceCounters
from serving.state import Block, SliceBlock

_NONE = SliceCounters(name="", requests=0, errors=0, timed=0, slow=0)


def slice_differences(
    before: Scrape, after: Scrape, arms: Sequence[Arm | None]
) -> tuple[SliceBlock, ...] | None:
    """The counts of each slice between two scrapes.

    Parameters
    ----------
    before, after:
        Scrapes of one run of Envoy.
    arms:
        The arm of the canary, of the control and the stable one; None for no counts.

    Returns
    -------
    None when a counter fell, so that one was missing in a scrape.
    """
    if not any(counters.slices for scrape in (before, after) for counters in scrape.arms):
        return ()
    old = [_by_name(before, arm) for arm in arms]
    new = [_by_name(after, arm) for arm in arms]
    changed = []
    for name in sorted(set().union(*new, *old)):
        counts = [
            _changes(was.get(name, _NONE), now.get(name, _NONE))
            for was, now in zip(old, new, strict=True)
        ]
        if min(min(change) for change in counts) < 0:
            return None
        if any(any(change) for change in counts):
            requests, errors, slow = zip(*counts, strict=True)
            changed.append(SliceBlock(name, *requests, *errors, *slow))
    return tuple(changed)


def _by_name(scrape: Scrape, arm: Arm | None) -> Mapping[str, SliceCounters]:
    for counters in scrape.arms:
        if counters.arm == arm:
            return {part.name: part for part in counters.slices}
    return {}


def _changes(old: SliceCounters, new: SliceCounters) -> tuple[int, int, int]:
    return new.requests - old.requests, new.errors - old.errors, new.slow - old.slow


def add_slices(a: Sequence[SliceBlock], b: Sequence[SliceBlock]) -> tuple[SliceBlock, ...]:
    """The sums by slice.

    >>> add_slices([SliceBlock("x", 1)], [SliceBlock("x", 2), SliceBlock("y", 4)])[0].n1
    3
    """
    sums = {part.name: part for part in a}
    for part in b:
        known = sums.get(part.name)
        if known is None:
            sums[part.name] = part
            continue
        pairs = zip(astuple(known)[1:], astuple(part)[1:], strict=True)
        sums[part.name] = SliceBlock(part.name, *(x + y for x, y in pairs))
    return tuple(sums[name] for name in sorted(sums))


def clients_of(parts: Iterable[SliceBlock]) -> dict[str, int]:
    """Requests of clients by slice, to all arms."""
    requests: dict[str, int] = {}
    for part in parts:
        requests[part.name] = requests.get(part.name, 0) + part.n1 + part.n0 + part.n_stable
    return requests


def slice_shares(blocks: Sequence[Block], names: Sequence[str]) -> dict[str, float]:
    """Share of the clients' requests of each named slice over the blocks; 0 without any."""
    exposed = [block for block in blocks if block.step >= 0]
    everything = sum(block.n1 + block.n0 + block.n_stable for block in exposed)
    requests = clients_of(part for block in exposed for part in block.slices)
    return {name: requests.get(name, 0) / max(1, everything) for name in names}
