"""A simulated stream of four partitions in which some producers' clocks are wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from streaming.windowing.assignment import Windows
from streaming.windowing.event_clock import EventClock

WINDOWS = Windows.of(60.0, 10.0)
FUTURE_SECONDS = 300.0
START, SECONDS = 1_700_000_000.0, 1_200.0
PARTITIONS, RATE = 4, 10.0
"""Events per second of a partition; the fewer, the more time the watermark's blocks take."""
MEAN_DELAY = 2.0
"""From an event to its arrival; one event in 150 takes longer than the windows wait."""

Reading = Literal["live", "backlog", "backlog-without-broker-time"]
"""Read as events arrive; or two days later, with the broker's times and without."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Which events carry a wrong time."""

    share: float
    """Of the events of a partition that has the fault."""
    offset: float
    """Of the wrong clocks, seconds; negative where they are slow."""
    partitions: int = PARTITIONS
    """How many partitions have it."""
    burst: int = 1
    """Events that a wrong clock sends in succession."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of the stream."""

    healthy_late: float
    """Share of the events with the right time that were late."""
    longest_delay: float
    """Longest time by which the model's watermark was behind the arrivals, once it moved."""


def simulate(fault: Fault, reading: Reading, *, seed: int) -> tuple[Outcome, Outcome]:
    """The outcome with the fault, and that of the same events without it."""
    rng = np.random.default_rng(seed)
    faulty, clean = [], []
    for number in range(PARTITIONS):
        arrivals = START + np.sort(rng.uniform(0.0, SECONDS, int(RATE * SECONDS)))
        times = arrivals - rng.exponential(MEAN_DELAY, len(arrivals))
        share = fault.share if number < fault.partitions else 0.0
        bursts = rng.random(len(arrivals) // fault.burst + 1) < share
        wrong = np.repeat(bursts, fault.burst)[: len(arrivals)]
        stamped = times + np.where(wrong, fault.offset, 0.0)
        faulty.append(_read(stamped, arrivals, wrong, reading))
        clean.append(_read(times, arrivals, wrong, reading))
    return _outcome(faulty), _outcome(clean)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Partition:
    healthy: int
    healthy_late: int
    arrivals: NDArray[np.float64]
    watermarks: NDArray[np.int64]
    """After each arrival."""


def _read(
    times: NDArray[np.float64],
    arrivals: NDArray[np.float64],
    wrong: NDArray[np.bool_],
    reading: Reading,
) -> _Partition:
    now = arrivals if reading == "live" else np.full(len(arrivals), START + 2 * 86_400.0)
    usable = times <= now + FUTURE_SECONDS
    seen = now if reading == "backlog-without-broker-time" else arrivals
    assignment = WINDOWS.assign(times[usable], EventClock(), seen[usable].__getitem__)
    late = np.zeros(len(times), bool)
    late[usable] = assignment.late
    return _Partition(
        healthy=int((~wrong).sum()),
        healthy_late=int((late & ~wrong).sum()),
        arrivals=arrivals,
        watermarks=assignment.watermarks[np.cumsum(usable)],
    )


def _outcome(partitions: list[_Partition]) -> Outcome:
    healthy = sum(partition.healthy for partition in partitions)
    moments = np.arange(START + 60.0, START + SECONDS, dtype=np.float64)
    behind = [
        moments - partition.watermarks[_last_at(partition.arrivals, moments)] / 1000
        for partition in partitions
    ]
    return Outcome(
        healthy_late=sum(partition.healthy_late for partition in partitions) / healthy,
        longest_delay=float(np.max(behind)),
    )


def _last_at(arrivals: NDArray[np.float64], moments: NDArray[np.float64]) -> NDArray[np.intp]:
    """Position of the last arrival before each moment."""
    return np.searchsorted(arrivals, moments) - 1
