"""The benchmark's report: figures that were measured alternately, and the machine."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence
from typing import Literal

import msgspec


class ReportPart(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of the report."""


class Round(ReportPart, frozen=True, kw_only=True):
    """One measurement: an amount of work and its time."""

    work: int
    wall_seconds: float
    cpu_seconds: float

    @property
    def per_core(self) -> float:
        """Work per CPU second."""
        return self.work / max(self.cpu_seconds, 1e-9)


class Ratio(ReportPart, frozen=True, kw_only=True):
    """Driftline against one comparison, measured alternately in one run."""

    name: str
    work: str
    """Description of the work."""
    unit: str
    ours: float
    """Driftline's work per CPU second, median over the rounds."""
    comparison: float
    comparison_name: str
    comparison_version: str
    ratio: float
    """Median of the rounds' own ratios, ours over the comparison."""
    ours_rounds: tuple[Round, ...]
    comparison_rounds: tuple[Round, ...]


class Spread(ReportPart, frozen=True, kw_only=True):
    """Distribution of a duration."""

    name: str
    n: int
    p50: float
    p99: float
    largest: float


class Line(ReportPart, frozen=True, kw_only=True):
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


class ModelStateSize(ReportPart, frozen=True, kw_only=True):
    """Bytes that the job keeps for one model."""

    features: int
    accumulator: int
    """Bytes of one open window's accumulator, as one step of the source sends it."""
    max_accumulators: int
    """Number of accumulators that are kept before they are merged to one for each open window."""
    adversarial: int
    """Bytes of an accumulator of rows that fill it: numbers of every magnitude, no text twice."""
    bound: int
    """Upper bound of the bytes of an accumulator."""
    history: int
    """Bytes of the judge's history of earlier windows."""


class ComponentTime(ReportPart, frozen=True, kw_only=True):
    """Duration of one component of a retrain."""

    component: str
    seconds: tuple[float, ...]
    """One for each run; the first includes imports."""


class RetrainRound(ReportPart, frozen=True, kw_only=True):
    """One retrain of one side of the comparison."""

    wall_seconds: float
    cpu_seconds: float
    """Of the process and its children."""
    peak_bytes: int
    """Peak resident memory of the process since its start, and of its running children."""
    auc: float
    """On all rows that were held back, the same for both sides."""
    rows: int
    components: tuple[ComponentTime, ...]


class RetrainComparison(ReportPart, frozen=True, kw_only=True):
    """A warm retrain worker against stock TFX's default pipeline, by turns on the same rows."""

    rows: int
    source: str
    """Where the rows come from."""
    ours: tuple[RetrainRound, ...]
    stock: tuple[RetrainRound, ...]

    def ratio(self, of: Literal["wall_seconds", "cpu_seconds"]) -> float:
        """Median of the rounds' ratios, ours over stock."""
        pairs = zip(self.ours, self.stock, strict=True)
        ratios = [float(getattr(own, of) / getattr(other, of)) for own, other in pairs]
        return statistics.median(ratios)

    @property
    def auc_difference(self) -> float:
        """Mean AUC of ours less that of stock."""
        pairs = zip(self.ours, self.stock, strict=True)
        return statistics.fmean(own.auc - other.auc for own, other in pairs)


class ManyModels(ReportPart, frozen=True, kw_only=True):
    """Many models in one stream job."""

    models: int
    features: int
    """Features of each model."""
    events_per_second: float
    """Events of all models."""
    cores: float
    """CPU seconds per second of the TaskManager and the Python worker."""
    judged: int
    """Windows with a verdict during the measurement."""
    inconclusive: int
    """Windows that could not be judged."""
    delay: Spread
    """Verdict delay, without the allowed out-of-orderness."""
    state_bytes_per_model: tuple[int, ...]
    """State of the newest checkpoint, at the start and after each window."""


class Series(ReportPart, frozen=True, kw_only=True):
    """One measure, repeated during one run."""

    name: str
    unit: str
    values: tuple[float, ...]
    slope: float
    """Units per hour, by least squares over the second half of the run. In the first half, caches
    fill, code is compiled, and the heap is used for the first time."""
    error: float
    """Standard error of the slope, assuming independent points. For autocorrelated points the true
    error is larger."""


class Soak(ReportPart, frozen=True, kw_only=True):
    """A stream job under traffic for a long time."""

    minutes: float
    models: int
    features: int
    """Features of each model."""
    window_seconds: float
    events_per_second: float
    """Events of all models."""
    at: tuple[float, ...]
    """Times of the measurements, in seconds since the first one began."""
    series: tuple[Series, ...]
    sent: int
    """Events that the broker acknowledged."""
    accepted: int
    dead_letters: int
    late: int
    problems: tuple[str, ...]
    """Offsets that were not counted exactly once; empty when there are none."""
    windows: int
    """Windows of all models."""
    judged: int
    inconclusive: int
    """Windows with an inconclusive verdict, as before the first reference."""
    restarts: int
    checkpoints_failed: int
    """Failed checkpoints since the references were published."""
    delay: Spread
    """Time from a window's end plus the allowed out-of-orderness to its verdict. It includes
    waiting for a silent partition."""


class Machine(ReportPart, frozen=True, kw_only=True):
    """The machine of the measurements."""

    processor: str
    cores: int
    python: str
    load_at_start: float
    """Load average of the last minute; above 0.5 the wall times are not reliable."""


class BenchReport(ReportPart, frozen=True, kw_only=True):
    """The content of `.driftline/bench/report.json`; a part that was not measured is empty."""

    at: float
    quick: bool
    machine: Machine
    ratios: tuple[Ratio, ...] = ()
    spreads: tuple[Spread, ...] = ()
    """Durations in seconds."""
    lines: tuple[Line, ...] = ()
    state: tuple[ModelStateSize, ...] = ()
    retrain: RetrainComparison | None = None
    models: ManyModels | None = None
    soak: Soak | None = None


def machine() -> Machine:
    """The machine that runs this process."""
    return Machine(
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)),
        python=platform.python_version(),
        load_at_start=round(os.getloadavg()[0], 2),
    )


def ratio(
    name: str,
    ours: Sequence[Round],
    comparison: Sequence[Round],
    *,
    work: str,
    unit: str,
    comparison_name: str,
    comparison_version: str,
) -> Ratio:
    """Driftline against a comparison by work per CPU second; rounds are compared in pairs.

    >>> fast = Round(work=10, wall_seconds=1, cpu_seconds=1)
    >>> slow = Round(work=10, wall_seconds=1, cpu_seconds=2)
    >>> names = {"work": "", "unit": "", "comparison_name": "", "comparison_version": ""}
    >>> ratio("a", [fast], [slow], **names).ratio
    2.0
    """
    pairs = list(zip(ours, comparison, strict=True))
    return Ratio(
        name=name,
        work=work,
        unit=unit,
        ours=statistics.median(a.per_core for a, _ in pairs),
        comparison=statistics.median(b.per_core for _, b in pairs),
        comparison_name=comparison_name,
        comparison_version=comparison_version,
        ratio=statistics.median(a.per_core / b.per_core for a, b in pairs),
        ours_rounds=tuple(ours),
        comparison_rounds=tuple(comparison),
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
