"""What was sent against what was counted: a small Jepsen-like checker.

It knows every record by partition and offset, as the broker acknowledged it, and what should have
become of it. From the summaries and letters it says what is wrong; nothing wrong is an empty list.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from streaming.contracts.records import DeadLetter, WindowSummary

Fate = Literal["good", "dead", "late"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One record that the broker acknowledged."""

    partition: int
    offset: int
    fate: Fate
    window_end: float = 0.0
    """Of a good one: the end of the window it belongs to."""


def problems(
    sent: Sequence[Sent], summaries: Iterable[WindowSummary], letters: Iterable[DeadLetter]
) -> list[str]:
    """Everything that contradicts "each offset is counted exactly once".

    Summaries and letters may repeat (writing is at least once), as long as a repeated id says
    the same.
    """
    once, found = _once(summaries)
    found += _windows(sent, once)
    found += _hulls(sent, once)
    found += _letters(sent, letters)
    return found


def _once(summaries: Iterable[WindowSummary]) -> tuple[dict[float, WindowSummary], list[str]]:
    """One summary per window; a window may not have two that differ, in their statistics neither:
    an artifact is named by its content."""
    by_end: dict[float, WindowSummary] = {}
    found = []
    for one in summaries:
        if by_end.setdefault(one.window_end, one) != one:
            found.append(f"window {one.window_end:.0f} has two summaries that differ")
    return by_end, found


def _windows(sent: Sequence[Sent], once: dict[float, WindowSummary]) -> list[str]:
    expected = Counter(one.window_end for one in sent if one.fate == "good")
    counted = {end: one.accepted for end, one in once.items() if one.accepted}
    found = [
        f"window {end:.0f} counts {counted.get(end, 0)} rows of {expected.get(end, 0)} sent"
        for end in sorted(expected.keys() | counted.keys())
        if counted.get(end, 0) != expected.get(end, 0)
    ]
    fates = Counter(one.fate for one in sent)
    totals = {
        "dead": sum(one.dead_letters for one in once.values()),
        "late": sum(one.late for one in once.values()),
    }
    found += [
        f"{totals[fate]} {fate} records are counted of {fates[fate]} sent"
        for fate in ("dead", "late")
        if totals[fate] != fates[fate]
    ]
    read = sum(one.offsets_read for one in once.values())
    if read != len(sent):
        found.append(f"{read} offsets are read of {len(sent)} sent")
    found += [
        f"window {one.window_end:.0f}: accepted, dead and late do not add up to read"
        for one in once.values()
        if one.accepted + one.dead_letters + one.late != one.offsets_read
    ]
    return found


def _hulls(sent: Sequence[Sent], once: dict[float, WindowSummary]) -> list[str]:
    """The hull of a window's rows per partition is that of the offsets sent."""
    expected: dict[tuple[float, int], list[int]] = defaultdict(list)
    for one in sent:
        if one.fate == "good":
            expected[one.window_end, one.partition].append(one.offset)
    said = {
        (end, hull.partition): (hull.start, hull.stop)
        for end, one in once.items()
        for hull in one.offsets
    }
    wanted = {key: (min(offsets), max(offsets) + 1) for key, offsets in expected.items()}
    return [
        f"window {end:.0f}, partition {partition}: offsets {said.get((end, partition))} "
        f"instead of {wanted.get((end, partition))}"
        for end, partition in sorted(said.keys() | wanted.keys())
        if said.get((end, partition)) != wanted.get((end, partition))
    ]


def _letters(sent: Sequence[Sent], letters: Iterable[DeadLetter]) -> list[str]:
    expected = {(one.partition, one.offset): one.fate for one in sent if one.fate != "good"}
    said: dict[tuple[int, int], DeadLetter] = {}
    found = []
    for letter in letters:
        place = letter.partition, letter.offset
        if said.setdefault(place, letter) != letter:
            found.append(f"offset {place} has two letters that differ")
        fate = "late" if letter.reason == "late" else "dead"
        if expected.get(place) != fate:
            found.append(f"offset {place} is {fate}, but was sent {expected.get(place, 'good')}")
    found += [f"offset {place} has no letter" for place in sorted(expected.keys() - said.keys())]
    return found
