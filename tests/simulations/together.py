"""`python -m tests.simulations together`: how features move together, measured.

Tails of the test, false alarms of its member of the family, what a shift of one feature does to
it, and how fast a changed correlation is found. Seeded: the same command prints the same figures;
`--scale` takes fewer or more draws. Results go to `.driftline/study/together.json` as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from msgspec.structs import replace

from streaming.contracts.model import FeatureSpec
from streaming.contracts.records import RowSample, WindowSummary
from streaming.drift.correlation.statistic import PreparedTogether, prepare_together, together_test
from streaming.drift.correlation_verdict import judge_together
from streaming.drift.history import Past, before, oldest, remember
from streaming.drift.settings import DriftRules
from streaming.drift.thresholds.alarm_rules import Lane
from streaming.grid import Floats
from streaming.summary.sample import NO_LIMIT, NON_FINITE, Sample, code_of_value
from streaming.summary.sample_records import sample_record
from tests.simulations.kinds import KINDS, Kind
from tests.simulations.records import features_of, window_of
from tests.simulations.tables import TALK

NORMAL = ("normal",) * 10
MIXED = (
    *("normal", "lognormal", "poisson", "sparse", "few values"),
    *("t3", "pareto", "small integers", "many values", "normal"),
)
MOVED = 3
"""The feature that moves alone; of the mixed kinds the one with 60 % zeros."""
ROWS, REFERENCE_ROWS, HOUR = 512, 4_096, 3_600.0
_CODE_OF_ZERO = 2**17
FREE = DriftRules(wobble_sd=0.0, suspected_sd=0.0, drifted_sd=0.0)
Change = Callable[[Floats], Floats]


def scores(rng: np.random.Generator, rows: int, features: int, rho: float) -> Floats:
    """Equally correlated normal scores."""
    common = rng.standard_normal((rows, 1))
    own: Floats = np.sqrt(1.0 - rho) * rng.standard_normal((rows, features))
    together: Floats = np.sqrt(rho) * common + own
    return together


def sample_of(kinds: tuple[Kind, ...], drawn: Floats, lost: Floats | None = None) -> RowSample:
    """The record of rows with these normal scores; 1 % of each value is missing."""
    codes = np.empty(drawn.shape, np.uint32)
    for at, kind in enumerate(kinds):
        place = kind.place(drawn[:, at].astype(np.float32))
        if kind.values:
            codes[:, at] = np.array([code_of_value(value) for value in kind.values])[place]
        else:
            codes[:, at] = kind.buckets[place] + _CODE_OF_ZERO
    if lost is not None:
        codes[lost < 0.01] = 0
    assert codes.max() > NON_FINITE
    made = Sample(np.arange(len(codes), dtype=np.uint64), codes, NO_LIMIT)
    return sample_record(made, [f"f{at}" for at in range(len(kinds))])


@dataclass(frozen=True, slots=True)
class World:
    """Features of some kinds, equally correlated."""

    kinds: tuple[str, ...]
    rho: float

    @property
    def made(self) -> tuple[Kind, ...]:
        """The kinds."""
        return tuple(KINDS[name] for name in self.kinds)

    def specs(self) -> tuple[FeatureSpec, ...]:
        """As the contract names them."""
        return tuple(features_of(self.made))

    def sample(
        self, rng: np.random.Generator, rows: int, change: Change | None = None
    ) -> RowSample:
        """Some rows."""
        drawn = scores(rng, rows, len(self.kinds), self.rho)
        lost = rng.random(drawn.shape)
        return sample_of(self.made, change(drawn) if change else drawn, lost)

    def reference(self, rng: np.random.Generator, rows: int = REFERENCE_ROWS) -> PreparedTogether:
        """A yardstick."""
        made = prepare_together(self.sample(rng, rows), self.specs())
        assert made is not None
        return made


def tails(world: World, *, rows: int, draws: int, seed: int) -> dict[str, float]:
    """True over nominal chance of a p below 1e-2 and 1e-3, references drawn anew."""
    rng, found = np.random.default_rng(seed), []
    for _ in range(20):
        reference = world.reference(rng)
        for _ in range(draws // 20):
            tested = together_test(reference, world.sample(rng, rows), FREE)
            found.append(tested[0].p if tested else 1.0)
    p = np.array(found)
    return {f"{level:g}": float((p <= level).mean() / level) for level in (1e-2, 1e-3)}


def windows(
    world: World, rng: np.random.Generator, change: Change | None = None
) -> Iterator[WindowSummary]:
    """Windows of an hour for ever."""
    at = 0
    while True:
        record = window_of((), at, HOUR, 10_000)
        yield replace(record, sample=world.sample(rng, ROWS, change))
        at += 1


def alarms(world: World, *, days: int, seed: int, rate: float = 0.2) -> tuple[int, float]:
    """Days with a false alarm of the member, and how many its share of a budget allows.

    Its share is `rate` alarms a day, far more than anyone would ask for, so that there is
    something to count. Every reference serves for ten days.
    """
    rng, found, of = np.random.default_rng(seed), 0, FREE.of
    lane = Lane(rate, 24.0, 1, 24.0, FREE.sustained, of)
    for _ in range(days // 10):
        reference = world.reference(rng)
        past: tuple[Past, ...] = ()
        alarmed = set()
        for at, window in enumerate(windows(world, rng)):
            if at == 240:
                break
            first = oldest(window_start=window.window_start, window_seconds=HOUR, of=of)
            counted = before(past, window_start=window.window_start, oldest=first, of=of)
            verdict, level = judge_together(window, reference, counted, FREE, lane)
            assert level is not None
            past = remember(past, Past(window.window_start, int(level)), of=of)
            if verdict.outcome != "stable":
                alarmed.add(at // 24)
        found += len(alarmed)
    return found, rate * (days // 10) * 10


def reaction(world: World, change: Change, *, draws: int, seed: int) -> tuple[float, float]:
    """Share of windows beyond p = 1 %, and the median effect, when rows are changed."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(5):
        reference = world.reference(rng)
        for _ in range(draws // 5):
            tested = together_test(reference, world.sample(rng, ROWS, change), FREE)
            assert tested is not None
            found.append((tested[0].p <= 0.01, tested[0].effect))
    hits, effects = np.array(found).T
    return float(hits.mean()), float(np.median(effects))


def delay(world: World, change: Change, *, runs: int, seed: int) -> list[int]:
    """Windows until `drifted`, under the default rules with 10 features in hourly windows."""
    rng, rules, found = np.random.default_rng(seed), DriftRules(), []
    lane = Lane(0.7, 720.0, 11, 24.0, rules.sustained, rules.of)
    for _ in range(runs):
        reference, past = world.reference(rng), ()
        kept: tuple[Past, ...] = past
        for at, window in enumerate(windows(world, rng, change)):
            verdict, level = judge_together(window, reference, kept[-4:], rules, lane)
            kept = (*kept, Past(window.window_start, int(level or 0)))
            if verdict.outcome == "drifted" or at == 99:
                found.append(at + 1)
                break
    return found


def shift(drawn: Floats) -> Floats:
    """One feature moves by half a standard deviation."""
    return drawn + np.eye(1, drawn.shape[1], MOVED) * 0.5


def stretch(drawn: Floats) -> Floats:
    """One feature spreads by a quarter."""
    return drawn * (1.0 + np.eye(1, drawn.shape[1], MOVED) * 0.25)


def flip(drawn: Floats) -> Floats:
    """Two features turn against each other and their margins stand still."""
    flipped = drawn.copy()
    flipped[:, 0] = -drawn[:, 1] * 0.6 + 0.8 * drawn[:, 0]
    flipped[:, 0] /= np.std(flipped[:, 0])
    return flipped


def measure(scale: float, seed: int) -> list[dict[str, str]]:
    """Every figure, as rows of a table."""
    lines: list[dict[str, str]] = []

    def say(what: str, world: World, figure: str) -> None:
        kinds = "normal" if world.kinds == NORMAL else "mixed"
        lines.append({"what": what, "world": f"10 {kinds}, rho {world.rho}", "figure": figure})
        TALK.print(*lines[-1].values())

    many = max(20, round(4_000 * scale))
    for kinds in (NORMAL, MIXED):
        for rho in (0.0, 0.3, 0.6, 0.9):
            world = World(kinds, rho)
            for rows in (200, ROWS):
                found = tails(world, rows=rows, draws=many, seed=seed)
                said = ", ".join(f"{level}: {ratio:.2f}" for level, ratio in found.items())
                say(f"true / nominal tail, n = {rows}", world, said)
            seen, allowed = alarms(world, days=max(10, round(400 * scale)), seed=seed)
            say("alarm days seen / allowed", world, f"{seen} / {allowed:.0f}")
        for rho in (0.0, 0.6):
            world = World(kinds, rho)
            for change in (shift, stretch):
                hits, effect = reaction(world, change, draws=many // 4, seed=seed)
                said = f"{hits:.3f} of windows at 1 %, median effect {effect:.2f} sd"
                say(f"one feature moves ({change.__name__})", world, said)
            found_in = delay(world, flip, runs=max(3, round(30 * scale)), seed=seed)
            say("a pair turns: windows until drifted", world, f"{np.median(found_in):.0f}")
    return lines
