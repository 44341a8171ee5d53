"""What the benchmark reports: figures measured side by side, and the machine they come from."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence

import msgspec


class Form(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of the report."""


class Round(Form, frozen=True, kw_only=True):
    """One measurement: so much work in so long."""

    work: int
    wall_seconds: float
    cpu_seconds: float

    @property
    def per_core(self) -> float:
        """Work per CPU second."""
        return self.work / max(self.cpu_seconds, 1e-9)


class Ratio(Form, frozen=True, kw_only=True):
    """Ours against one peer, interleaved in one run."""

    name: str
    work: str
    """What was done, in words."""
    unit: str
    ours: float
    """Median over the rounds."""
    peer: float
    peer_name: str
    peer_version: str
    ratio: float
    """Median of the rounds' own ratios, ours / peer."""
    ours_rounds: tuple[Round, ...]
    peer_rounds: tuple[Round, ...]


class Spread(Form, frozen=True, kw_only=True):
    """Many measurements of one time."""

    name: str
    n: int
    p50: float
    p99: float
    largest: float


class Line(Form, frozen=True, kw_only=True):
    """A cost against a size, and the straight line through it by least squares."""

    name: str
    unit: str
    sizes: tuple[int, ...]
    costs: tuple[float, ...]
    """Median over the rounds, one for each size."""
    slope: float
    intercept: float
    r2: float
    """Share of the variance that the line explains."""


class State(Form, frozen=True, kw_only=True):
    """Bytes that the job keeps for one model of so many features."""

    features: int
    part: int
    """One open window's counts as one step of the source sends them."""
    parts: int
    """So many are kept at most before they are merged to one for each open window."""
    hostile: int
    """A part of rows made to fill it: numbers of every magnitude, no text twice."""
    bound: int
    """No part can be larger."""
    history: int
    """What the judge remembers of earlier windows."""


class Part(Form, frozen=True, kw_only=True):
    """How long one component of a retrain took."""

    component: str
    seconds: tuple[float, ...]
    """One for each run; the first pays for imports."""


class ManyModels(Form, frozen=True, kw_only=True):
    """Many models in one stream job."""

    models: int
    features: int
    """Of each."""
    events_per_second: float
    """Of all models together."""
    cores: float
    """CPU seconds per second of the TaskManager and the Python worker."""
    judged: int
    """Windows that got a verdict while it was measured."""
    undecided: int
    """Windows that could not be judged."""
    delay: Spread
    """Without the disorder that is allowed."""
    state_bytes_per_model: tuple[int, ...]
    """Of the newest checkpoint, at the start and after each window."""


class Series(Form, frozen=True, kw_only=True):
    """One measure, again and again in one run."""

    name: str
    unit: str
    values: tuple[float, ...]
    slope: float
    """Units per hour, by least squares over the second half of the run: the first half fills
    caches, compiles, and touches the heap for the first time."""
    error: float
    """Standard error of the slope. It takes the points to be independent; a series that creeps
    from one level to another has a larger one."""


class Soak(Form, frozen=True, kw_only=True):
    """A stream job under traffic for long."""

    minutes: float
    models: int
    features: int
    """Of each."""
    window_seconds: float
    events_per_second: float
    """Of all models together."""
    at: tuple[float, ...]
    """When it was measured, seconds since the measurement began."""
    series: tuple[Series, ...]
    sent: int
    """Events that the broker acknowledged."""
    accepted: int
    dead_letters: int
    late: int
    problems: tuple[str, ...]
    """What contradicts "each offset is counted exactly once"; empty when it holds."""
    windows: int
    """Of all models."""
    judged: int
    undecided: int
    """Windows with a verdict that could not judge: those before the reference."""
    restarts: int
    checkpoints_failed: int
    """Since the references were there."""
    delay: Spread
    """End of a window and its disorder to its verdict, a silent partition's wait included."""


class Machine(Form, frozen=True, kw_only=True):
    """Where it was measured."""

    processor: str
    cores: int
    python: str
    load_at_start: float
    """Load average of the last minute; above 0.5 the wall times mean little."""


class BenchReport(Form, frozen=True, kw_only=True):
    """`.driftline/bench/report.json`; a part that was not measured is empty."""

    at: float
    quick: bool
    machine: Machine
    ratios: tuple[Ratio, ...] = ()
    spreads: tuple[Spread, ...] = ()
    """Seconds."""
    lines: tuple[Line, ...] = ()
    state: tuple[State, ...] = ()
    retrain: tuple[Part, ...] = ()
    retrain_rows: int = 0
    models: ManyModels | None = None
    soak: Soak | None = None


def machine() -> Machine:
    """This one."""
    return Machine(
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)),
        python=platform.python_version(),
        load_at_start=round(os.getloadavg()[0], 2),
    )


def ratio(
    name: str,
    ours: Sequence[Round],
    peer: Sequence[Round],
    *,
    work: str,
    unit: str,
    peer_name: str,
    peer_version: str,
) -> Ratio:
    """Ours against a peer by work per CPU second; the rounds belong together in pairs.

    >>> one, two = Round(work=10, wall_seconds=1, cpu_seconds=1), Round(
    ...     work=10, wall_seconds=1, cpu_seconds=2)
    >>> ratio("a", [one], [two], work="", unit="", peer_name="", peer_version="").ratio
    2.0
    """
    pairs = list(zip(ours, peer, strict=True))
    return Ratio(
        name=name,
        work=work,
        unit=unit,
        ours=statistics.median(a.per_core for a, _ in pairs),
        peer=statistics.median(b.per_core for _, b in pairs),
        peer_name=peer_name,
        peer_version=peer_version,
        ratio=statistics.median(a.per_core / b.per_core for a, b in pairs),
        ours_rounds=tuple(ours),
        peer_rounds=tuple(peer),
    )


def line(name: str, unit: str, sizes: Sequence[int], costs: Sequence[float]) -> Line:
    """The costs and their straight line.

    >>> fit = line("a", "ms", [1, 2, 3], [3.0, 5.0, 7.0])
    >>> round(fit.slope, 6), round(fit.intercept, 6), round(fit.r2, 6)
    (2.0, 1.0, 1.0)
    """
    slope, intercept = statistics.linear_regression(sizes, costs)
    return Line(
        name=name,
        unit=unit,
        sizes=tuple(sizes),
        costs=tuple(costs),
        slope=slope,
        intercept=intercept,
        r2=statistics.correlation(sizes, costs) ** 2,
    )


def spread(name: str, seconds: Sequence[float]) -> Spread:
    """Median and 99 % quantile (nearest rank).

    >>> spread("a", [3.0, 1.0, 2.0]).p50
    2.0
    """
    ordered = sorted(seconds)
    return Spread(
        name=name,
        n=len(ordered),
        p50=statistics.median(ordered),
        p99=ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))],
        largest=ordered[-1],
    )


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"
