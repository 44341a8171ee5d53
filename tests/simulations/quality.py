"""`python -m tests.simulations quality`: false alarms and detection delays of the quality verdicts.

The production judge (`streaming.quality.judge_quality`) judges drawn counts, seeded: the same
command prints the same figures. A quiet version is served for ten days and nothing changes except,
in some arms, the daily offset of its quality, so every alarm is false.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from scipy import optimize, special

from streaming.drift.backtest.alarm_count import AlarmCounter, AlarmRate, alarm_rate
from streaming.quality import QualityRules, judge_quality
from streaming.quality.compare import measured
from streaming.quality.counts import Counts, score_buckets, score_of
from streaming.quality.verdict import Judgement, MatureWindow
from streaming.quality.version_baseline import VersionBaseline
from tests.simulations.tables import rate_cells, show

app = typer.Typer(help="Model quality.", no_args_is_help=True, add_completion=False)
DAY = 86_400.0
DAYS_OF_A_VERSION = 10
MAX_BATCHES = 400
QUIET_BATCHES = 25
"""Batches before a change."""
Numbers = NDArray[np.float64]


@dataclass
class Population:
    """Scores of a calibrated model, and outcomes whose relation to the scores can be changed."""

    centre: float = -1.5
    """Mean logit of the scores."""
    sd: float = 1.4
    """Standard deviation of the logits."""
    size: int = 400
    cache: dict[tuple[float, float], Numbers] = field(default_factory=dict)

    @cached_property
    def buckets(self) -> NDArray[np.int64]:
        """Distinct score buckets."""
        logits = self.centre + self.sd * np.linspace(-3.5, 3.5, self.size)
        return np.unique(score_buckets(special.expit(logits))).astype(np.int64)

    @cached_property
    def logits(self) -> Numbers:
        """The logit of each bucket."""
        return np.asarray(special.logit(score_of(self.buckets)), np.float64)

    @cached_property
    def shares(self) -> Numbers:
        """The probability of each bucket."""
        density = np.exp(-(((self.logits - self.centre) / self.sd) ** 2) / 2.0)
        widths = np.gradient(self.logits)
        shares: Numbers = density * widths / (density * widths).sum()
        return shares

    def positive_rate(self, slope: float, shift: float) -> Numbers:
        """Probability of a positive outcome in each bucket.

        `slope` is the part of the scores' information that is left; `shift` is added to the logit.
        """
        if (slope, shift) not in self.cache:
            line = slope * (self.logits - self.centre) + self.centre + shift
            self.cache[slope, shift] = np.asarray(special.expit(line), np.float64)
        return self.cache[slope, shift]

    def window(
        self, rng: np.random.Generator, rows: int, slope: float = 1.0, shift: float = 0.0
    ) -> Counts:
        """The counts of `rows` labelled predictions."""
        served = rng.multinomial(rows, self.shares)
        positives = rng.binomial(served, self.positive_rate(slope, shift))
        return Counts(
            buckets=self.buckets, served=served, positives=positives, negatives=served - positives
        )

    def auc(self, slope: float) -> float:
        """The AUC of the entire population."""
        rows = self.shares * 1e7
        rate = self.positive_rate(slope, 0.0)
        counts = Counts(
            buckets=self.buckets,
            served=np.round(rows).astype(np.int64),
            positives=np.round(rows * rate).astype(np.int64),
            negatives=np.round(rows * (1.0 - rate)).astype(np.int64),
        )
        return measured(counts)["auc"].value

    def slope_for(self, auc: float) -> float:
        """The slope with this AUC."""
        slope: float = optimize.brentq(lambda slope: self.auc(slope) - auc, 0.0, 3.0, xtol=1e-4)
        return slope


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One quiet setting."""

    name: str
    rows: int = 1000
    day_sd: float = 0.0
    """Simulated standard deviation of the AUC's daily offsets."""
    assumed_day_sd: float = 0.0
    """The same standard deviation in the rules."""
    floors: bool = False
    """Whether the smallest reported changes are those of the shipped rules."""
    window_seconds: float = 600.0


ARMS = (
    Arm(name="500 labels", rows=500),
    Arm(name="1,000 labels"),
    Arm(name="5,000 labels", rows=5000),
    Arm(name="1,000 labels, day variation 0.01", day_sd=0.01, assumed_day_sd=0.01),
    Arm(name="5,000 labels, day variation 0.01", rows=5000, day_sd=0.01, assumed_day_sd=0.01),
    Arm(name="1,000 labels, as shipped", assumed_day_sd=0.01, floors=True),
    Arm(
        name="5,000 labels, day variation 0.01, as shipped",
        rows=5000,
        day_sd=0.01,
        assumed_day_sd=0.01,
        floors=True,
    ),
)


def rules_of(arm: Arm, budget: float) -> QualityRules:
    """The rules of an arm: `budget` false alarms in 30 days, all of them for quality itself."""
    shipped = QualityRules(
        false_alarms=budget,
        prediction_drift_share=0.0,
        day_variation=arm.assumed_day_sd,
        min_labels=400,
    )
    if arm.floors:
        return shipped
    return replace(shipped, auc_fall=0.0, brier_rise=0.0, calibration_shift=0.0)


def judgements(
    windows: Iterator[Counts], rules: QualityRules, seconds: float
) -> Iterator[Judgement]:
    """The judgements on consecutive windows."""
    baseline = VersionBaseline(version=1)
    for number, counts in enumerate(windows):
        window = MatureWindow(
            version=1,
            live=True,
            start=number * seconds,
            end=(number + 1) * seconds,
            counts=counts,
            expected=counts.labelled,
            inputs="stable",
        )
        judgement, baseline = judge_quality(window, baseline, rules)
        yield judgement


def quiet(arm: Arm, *, versions: int, budget: float, seed: int) -> AlarmRate:
    """Alarms of unchanged versions over those allowed."""
    rng, population = np.random.default_rng(seed), Population()
    assert population.auc(1.0) > 0.5
    auc_per_slope = (population.auc(1.02) - population.auc(0.98)) / 0.04
    windows_a_day = round(DAY / arm.window_seconds)
    counts = []

    def windows() -> Iterator[Counts]:
        for _ in range(DAYS_OF_A_VERSION):
            slope = round(1.0 + arm.day_sd * float(rng.normal()) / auc_per_slope, 4)
            for _ in range(windows_a_day):
                yield population.window(rng, arm.rows, slope)

    for _ in range(versions):
        population.cache.clear()
        counter = AlarmCounter()
        for number, judgement in enumerate(
            judgements(windows(), rules_of(arm, budget), arm.window_seconds)
        ):
            if number % windows_a_day == 0:
                counter.new_day()
            alarmed = judgement.outcome in ("degraded", "suspected")
            counter.window(["quality"] if alarmed else [])
        counts.append(counter.alarms)
    return alarm_rate(counts, budget * versions * DAYS_OF_A_VERSION / 30.0)


@dataclass(frozen=True, kw_only=True)
class Change:
    """A change of a version's quality."""

    name: str
    fall: float = 0.0
    """Fall of the AUC."""
    shift: float = 0.0
    """Shift of the outcomes' logit."""


CHANGES = (
    Change(name="AUC falls by 0.05", fall=0.05),
    Change(name="AUC falls by 0.10", fall=0.10),
    Change(name="positives 25 % -> 28 %", shift=0.22),
    Change(name="positives 25 % -> 33 %", shift=0.55),
)


def delay(change: Change, rows: int, *, runs: int, seed: int) -> tuple[float, float, float]:
    """Median batches to `degraded`, share found within `MAX_BATCHES`, median batches to the first
    suspicion."""
    rng, population = np.random.default_rng(seed), Population()
    slope = population.slope_for(population.auc(1.0) - change.fall) if change.fall else 1.0
    degraded, suspected = [], []
    for _ in range(runs):

        def windows() -> Iterator[Counts]:
            for _ in range(QUIET_BATCHES):
                yield population.window(rng, rows)
            while True:
                yield population.window(rng, rows, slope, change.shift)

        first_suspicion = MAX_BATCHES
        for number, judgement in enumerate(judgements(windows(), QualityRules(), 60.0)):
            batches = number - QUIET_BATCHES + 1
            if batches > 0 and judgement.outcome != "stable":
                first_suspicion = min(first_suspicion, batches)
            if batches > 0 and judgement.outcome == "degraded":
                degraded.append(batches)
                break
            if batches >= MAX_BATCHES:
                degraded.append(MAX_BATCHES)
                break
        suspected.append(first_suspicion)
    return delay_figures(degraded, suspected, MAX_BATCHES)


def delay_figures(
    degraded: Sequence[int], suspected: Sequence[int], most: int
) -> tuple[float, float, float]:
    """Median batches to `degraded`, share found in less than `most`, median to the suspicion."""
    delays = np.array(degraded)
    return (
        float(np.median(delays)),
        float(np.mean(delays < most)),
        float(np.median(suspected)),
    )


def delay_cells(rows: int, figures: tuple[float, float, float], most: int) -> dict[str, str]:
    """Cells of the table of delays; `rows` are the labels of a batch."""
    median, share, suspicion = figures
    return {
        "labels a batch": f"{rows:,}",
        "median batches": f"{median:.0f}",
        f"found in {most}": f"{share:.0%}",
        "first suspicion": f"{suspicion:.0f}",
    }


@app.command()
def alarms(
    versions: Annotated[int, typer.Option(help="Versions of ten days in each arm.")] = 20,
    allowed: Annotated[float, typer.Option(help="False alarms allowed in 30 days.")] = 15.0,
    seed: Annotated[int, typer.Option(help="Seed of the random numbers.")] = 1,
) -> None:
    """False alarms of unchanged versions.

    Example: `python -m tests.simulations quality alarms --versions 60`
    """
    rows = [
        {
            "arm": arm.name,
            **rate_cells(quiet(arm, versions=versions, budget=allowed, seed=seed + number)),
        }
        for number, arm in enumerate(ARMS)
    ]
    show("quality-alarms", rows, {"seed": seed, "versions": versions, "allowed": allowed})


@app.command()
def delays(
    runs: Annotated[int, typer.Option(help="Versions for each figure.")] = 100,
    seed: Annotated[int, typer.Option(help="Seed of the random numbers.")] = 1,
) -> None:
    """Batches until a change is found, with the shipped rules and one-minute windows.

    Example: `python -m tests.simulations quality delays --runs 200`
    """
    table = []
    for change in CHANGES:
        for rows in (500, 1000, 5000):
            figures = delay(change, rows, runs=runs, seed=seed)
            table.append({"change": change.name, **delay_cells(rows, figures, MAX_BATCHES)})
    show("quality-delays", table, {"seed": seed, "runs": runs})
