"""`python -m tests.simulations quality`: quiet versions against the budget, and how fast a fall is found.

The judge that ships (`streaming.quality.judge_quality`) on drawn counts, seeded: the same command
prints the same figures. A quiet version is served for ten days and nothing changes but, in some
arms, the day's own wobble; every alarm is false.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from scipy import optimize, special

from streaming.drift.backtest.alarm_count import Rate, Tally, rate
from streaming.quality import QualityRules, judge_quality
from streaming.quality.compare import measured
from streaming.quality.counts import Counts, score_buckets, score_of
from streaming.quality.verdict import Judgement, MatureWindow
from streaming.quality.version_baseline import Track
from tests.simulations.tables import cells, show

app = typer.Typer(help="Labels and quality.", no_args_is_help=True, add_completion=False)
DAY = 86_400.0
DAYS_OF_A_VERSION = 10
LONGEST = 400
Numbers = NDArray[np.float64]


@dataclass
class Population:
    """A calibrated model's scores; what they mean can be changed."""

    middle: float = -1.5
    spread: float = 1.4
    size: int = 400
    meanings: dict[tuple[float, float], Numbers] = field(default_factory=dict)

    @cached_property
    def buckets(self) -> NDArray[np.int64]:
        """Distinct score buckets."""
        install_paths = self.middle + self.spread * np.linspace(-3.5, 3.5, self.size)
        return np.unique(score_buckets(special.expit(install_paths))).astype(np.int64)

    @cached_property
    def logits(self) -> Numbers:
        """Of each bucket."""
        return np.asarray(special.logit(score_of(self.buckets)), np.float64)

    @cached_property
    def shares(self) -> Numbers:
        """How often each bucket is served."""
        density = np.exp(-(((self.logits - self.middle) / self.spread) ** 2) / 2.0)
        widths = np.gradient(self.logits)
        found: Numbers = density * widths / (density * widths).sum()
        return found

    def chance(self, keep: float, shift: float) -> Numbers:
        """Chance of the outcome in each bucket."""
        if (keep, shift) not in self.meanings:
            line = keep * (self.logits - self.middle) + self.middle + shift
            self.meanings[keep, shift] = np.asarray(special.expit(line), np.float64)
        return self.meanings[keep, shift]

    def window(
        self, rng: np.random.Generator, rows: int, keep: float = 1.0, shift: float = 0.0
    ) -> Counts:
        """The counts of `rows` labelled predictions."""
        served = rng.multinomial(rows, self.shares)
        positives = rng.binomial(served, self.chance(keep, shift))
        return Counts(
            buckets=self.buckets, served=served, positives=positives, negatives=served - positives
        )

    def auc(self, keep: float) -> float:
        """The AUC of the whole population."""
        rows = self.shares * 1e7
        chance = self.chance(keep, 0.0)
        counts = Counts(
            buckets=self.buckets,
            served=np.round(rows).astype(np.int64),
            positives=np.round(rows * chance).astype(np.int64),
            negatives=np.round(rows * (1.0 - chance)).astype(np.int64),
        )
        return measured(counts)["auc"].value

    def keep_for(self, auc: float) -> float:
        """How much of the meaning is left at this AUC."""
        found: float = optimize.brentq(lambda keep: self.auc(keep) - auc, 0.0, 3.0, xtol=1e-4)
        return found


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One quiet setting."""

    name: str
    rows: int = 1000
    wobble: float = 0.0
    """Of the AUC from day to day, in the world."""
    allowed_wobble: float = 0.0
    """The same, in the rules."""
    floors: bool = False
    window_seconds: float = 600.0


ARMS = (
    Arm(name="500 labels", rows=500),
    Arm(name="1,000 labels"),
    Arm(name="5,000 labels", rows=5000),
    Arm(name="1,000 labels, wobble 0.01", wobble=0.01, allowed_wobble=0.01),
    Arm(name="5,000 labels, wobble 0.01", rows=5000, wobble=0.01, allowed_wobble=0.01),
    Arm(name="1,000 labels, as shipped", allowed_wobble=0.01, floors=True),
    Arm(name="5,000 labels, wobble 0.01, as shipped", rows=5000, wobble=0.01,
        allowed_wobble=0.01, floors=True),
)  # fmt: skip


def rules_of(arm: Arm, alarms: float) -> QualityRules:
    """The rules of an arm: `alarms` allowed in 30 days, all of them for quality itself."""
    shipped = QualityRules(
        false_alarms=alarms, scores_share=0.0, wobble=arm.allowed_wobble, min_labels=400
    )
    if arm.floors:
        return shipped
    return replace(shipped, auc_fall=0.0, brier_rise=0.0, calibration_shift=0.0)


def judged(windows: Iterator[Counts], rules: QualityRules, seconds: float) -> Iterator[Judgement]:
    """The judgements on windows in a row."""
    track = Track(version=1)
    for place, counts in enumerate(windows):
        window = MatureWindow(
            version=1, live=True, start=place * seconds, end=(place + 1) * seconds,
            counts=counts, expected=counts.labelled, inputs="stable",
        )  # fmt: skip
        judgement, track = judge_quality(window, track, rules)
        yield judgement


def quiet(arm: Arm, *, versions: int, alarms: float, seed: int) -> Rate:
    """Alarms of versions to which nothing happens, over those allowed."""
    rng, world = np.random.default_rng(seed), Population()
    base = world.auc(1.0)
    slope = (world.auc(1.02) - world.auc(0.98)) / 0.04
    a_day = round(DAY / arm.window_seconds)
    counts = []
    assert base > 0.5

    def windows() -> Iterator[Counts]:
        for _ in range(DAYS_OF_A_VERSION):
            keep = round(1.0 + arm.wobble * float(rng.normal()) / slope, 4)
            for _ in range(a_day):
                yield world.window(rng, arm.rows, keep)

    for _ in range(versions):
        world.meanings.clear()
        tally = Tally()
        for place, judgement in enumerate(
            judged(windows(), rules_of(arm, alarms), arm.window_seconds)
        ):
            if place % a_day == 0:
                tally.new_day()
            alarmed = judgement.outcome in ("degraded", "suspected")
            tally.window(["quality"] if alarmed else [])
        counts.append(tally.alarms)
    return rate(counts, alarms * versions * DAYS_OF_A_VERSION / 30.0)


@dataclass(frozen=True, kw_only=True)
class Change:
    """Something that happens to a version."""

    name: str
    fall: float = 0.0
    """Of the AUC."""
    shift: float = 0.0
    """Of the outcomes' logit."""


CHANGES = (
    Change(name="AUC falls by 0.05", fall=0.05),
    Change(name="AUC falls by 0.10", fall=0.10),
    Change(name="positives 25 % -> 28 %", shift=0.22),
    Change(name="positives 25 % -> 33 %", shift=0.55),
)


def delay(change: Change, rows: int, *, runs: int, seed: int) -> tuple[float, float, float]:
    """Median looks to `degraded`, share found within `LONGEST`, looks to the first suspicion."""
    rng, world = np.random.default_rng(seed), Population()
    keep = world.keep_for(world.auc(1.0) - change.fall) if change.fall else 1.0
    degraded, suspected = [], []
    for _ in range(runs):

        def windows() -> Iterator[Counts]:
            for _ in range(25):
                yield world.window(rng, rows)
            while True:
                yield world.window(rng, rows, keep, change.shift)

        first = LONGEST
        for place, judgement in enumerate(judged(windows(), QualityRules(), 60.0)):
            looks = place - 24
            if looks > 0 and judgement.outcome != "stable":
                first = min(first, looks)
            if looks > 0 and judgement.outcome == "degraded":
                degraded.append(looks)
                break
            if looks >= LONGEST:
                degraded.append(LONGEST)
                break
        suspected.append(first)
    found = np.array(degraded)
    return float(np.median(found)), float(np.mean(found < LONGEST)), float(np.median(suspected))


@app.command()
def alarms(
    versions: Annotated[int, typer.Option(help="Versions of ten days in each arm.")] = 20,
    allowed: Annotated[float, typer.Option(help="False alarms allowed in 30 days.")] = 15.0,
    seed: Annotated[int, typer.Option(help="Of the random numbers.")] = 1,
) -> None:
    """False alarms of versions to which nothing happens.

    Example: `python -m tests.simulations quality alarms --versions 60`
    """
    rows = [
        {
            "arm": arm.name,
            **cells(quiet(arm, versions=versions, alarms=allowed, seed=seed + place)),
        }
        for place, arm in enumerate(ARMS)
    ]
    show("quality-alarms", rows, {"seed": seed, "versions": versions, "allowed": allowed})


@app.command()
def delays(
    runs: Annotated[int, typer.Option(help="Versions for each figure.")] = 100,
    seed: Annotated[int, typer.Option(help="Of the random numbers.")] = 1,
) -> None:
    """Looks until a change is found, with the rules that ship and one-minute windows.

    Example: `python -m tests.simulations quality delays --runs 200`
    """
    found = []
    for change in CHANGES:
        for rows in (500, 1000, 5000):
            median, share, hint = delay(change, rows, runs=runs, seed=seed)
            found.append(
                {
                    "change": change.name,
                    "labels a look": f"{rows:,}",
                    "median looks": f"{median:.0f}",
                    f"found in {LONGEST}": f"{share:.0%}",
                    "first hint": f"{hint:.0f}",
                }
            )
    show("quality-delays", found, {"seed": seed, "runs": runs})
