"""Compares what was sent with what was counted: a small Jepsen-like checker.

It knows every record by partition and offset, as the broker acknowledged it, and its expected fate.
It lists everything that summaries and dead letters contradict; an empty list means no problem.
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
    """End of the window of a good record; 0 for others."""


def problems(
    sent: Sequence[Sent], summaries: Iterable[WindowSummary], dead_letters: Iterable[DeadLetter]
) -> list[str]:
    """Everything that contradicts "each offset is counted exactly once".

    Summaries and dead letters may repeat (writing is at least once), as long as a repeated id has
    the same content.
    """
    windows, duplicates = _by_window(summaries)
    return [
        *duplicates,
        *_count_problems(sent, windows),
        *_span_problems(sent, windows),
        *_dead_letter_problems(sent, dead_letters),
    ]


def _by_window(
    summaries: Iterable[WindowSummary],
) -> tuple[dict[float, WindowSummary], list[str]]:
    """One summary per window, and the windows that have two different ones.

    Their statistics must be equal too, because an artifact is named by its content.
    """
    by_end: dict[float, WindowSummary] = {}
    duplicates = [
        f"window {summary.window_end:.0f} has two summaries that differ"
        for summary in summaries
        if by_end.setdefault(summary.window_end, summary) != summary
    ]
    return by_end, duplicates


def _count_problems(sent: Sequence[Sent], windows: dict[float, WindowSummary]) -> list[str]:
    expected = Counter(record.window_end for record in sent if record.fate == "good")
    counted = {end: window.accepted for end, window in windows.items() if window.accepted}
    messages = [
        f"window {end:.0f} counts {counted.get(end, 0)} rows of {expected.get(end, 0)} sent"
        for end in sorted(expected.keys() | counted.keys())
        if counted.get(end, 0) != expected.get(end, 0)
    ]
    fates = Counter(record.fate for record in sent)
    totals = {
        "dead": sum(window.dead_letters for window in windows.values()),
        "late": sum(window.late for window in windows.values()),
    }
    messages += [
        f"{totals[fate]} {fate} records are counted of {fates[fate]} sent"
        for fate in ("dead", "late")
        if totals[fate] != fates[fate]
    ]
    read = sum(window.offsets_read for window in windows.values())
    if read != len(sent):
        messages.append(f"{read} offsets are read of {len(sent)} sent")
    messages += [
        f"window {end:.0f}: accepted, dead and late do not add up to read"
        for end, window in windows.items()
        if window.accepted + window.dead_letters + window.late != window.offsets_read
    ]
    return messages


def _span_problems(sent: Sequence[Sent], windows: dict[float, WindowSummary]) -> list[str]:
    """The offset span of a window's rows in each partition must be that of the offsets sent."""
    offsets: dict[tuple[float, int], list[int]] = defaultdict(list)
    for record in sent:
        if record.fate == "good":
            offsets[record.window_end, record.partition].append(record.offset)
    expected = {key: (min(numbers), max(numbers) + 1) for key, numbers in offsets.items()}
    recorded = {
        (end, span.partition): (span.start, span.stop)
        for end, window in windows.items()
        for span in window.offsets
    }
    return [
        f"window {end:.0f}, partition {partition}: offsets {recorded.get((end, partition))} "
        f"instead of {expected.get((end, partition))}"
        for end, partition in sorted(recorded.keys() | expected.keys())
        if recorded.get((end, partition)) != expected.get((end, partition))
    ]


def _dead_letter_problems(sent: Sequence[Sent], dead_letters: Iterable[DeadLetter]) -> list[str]:
    expected = {
        (record.partition, record.offset): record.fate for record in sent if record.fate != "good"
    }
    written: dict[tuple[int, int], DeadLetter] = {}
    messages = []
    for letter in dead_letters:
        place = letter.partition, letter.offset
        if written.setdefault(place, letter) != letter:
            messages.append(f"offset {place} has two dead letters that differ")
        fate = "late" if letter.reason == "late" else "dead"
        if expected.get(place) != fate:
            messages.append(f"offset {place} is {fate}, but was sent {expected.get(place, 'good')}")
    missing = sorted(expected.keys() - written.keys())
    return messages + [f"offset {place} has no dead letter" for place in missing]
