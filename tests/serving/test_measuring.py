"""Faults of the measurement: never a promotion by them, never a false fail."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from msgspec.structs import replace

from serving.engines.memory import InMemoryServing
from serving.phase import Phase
from serving.ports import ArmCounters, Scrape
from tests.serving.rollout_simulation import RolloutSimulation, quick_rules


@dataclass
class FaultyMetrics:
    """Scrapes of the in-memory metrics, changed on their way."""

    skew: float = 0.0
    lacking_every: int = 0
    lacks: str = "canary"
    taken: list[Scrape] = field(default_factory=list)
    down: bool = False

    def scrapes(self, *, since: float, now: float) -> tuple[Scrape, ...]:
        changed = [self._changed(number, scrape) for number, scrape in enumerate(self.taken)]
        return tuple(scrape for scrape in changed if since < scrape.at <= now)

    def notices(self) -> tuple[str, ...]:
        return ()

    def _changed(self, number: int, scrape: Scrape) -> Scrape:
        arms = scrape.arms
        if self.lacking_every and number % self.lacking_every == 0:
            arms = tuple(arm for arm in arms if arm.arm != self.lacks)
        return replace(scrape, at=scrape.at + self.skew, arms=arms)


def simulation(metrics: FaultyMetrics, **errors: float) -> RolloutSimulation:
    shares = {1: 0.002, 2: errors.get("canary", 0.002)}
    serving = InMemoryServing(errors=shares, rate=400.0, metrics=metrics)  # type: ignore[arg-type]
    return RolloutSimulation(serving=serving).start_canary()


@pytest.mark.parametrize("skew", [-300.0, -45.0, -16.0, -3.0, 3.0, 16.0, 45.0])
def test_a_clock_that_is_wrong_neither_fails_nor_blocks_a_rollout(skew: float) -> None:
    rollout = simulation(FaultyMetrics(skew=skew)).until_live(2, seconds=1500)
    assert all(verdict.outcome != "fail" for verdict in rollout.verdicts)


@pytest.mark.parametrize("skew", [-45.0, 45.0])
def test_a_clock_that_is_wrong_hides_no_harm(skew: float) -> None:
    rollout = simulation(FaultyMetrics(skew=skew), canary=0.03)
    rollout.until_phase(Phase.IDLE, seconds=1500)
    assert rollout.live == 1
    assert rollout.verdicts[-1].outcome == "fail"


@pytest.mark.parametrize("lacks", ["canary", "control", "stable"])
@pytest.mark.parametrize("every", [2, 3, 7])
def test_scrapes_that_lack_an_arm_cost_time_only(every: int, lacks: str) -> None:
    metrics = FaultyMetrics(lacking_every=every, lacks=lacks)
    rollout = simulation(metrics).until_live(2, seconds=1500)
    assert all(verdict.outcome != "fail" for verdict in rollout.verdicts)
    for block in rollout.state.rollout.counts.blocks if rollout.state.rollout else ():
        assert 0 <= block.n1 <= 10_000


@pytest.mark.parametrize("away", [600, 3_600, 90_000])
def test_an_hour_without_the_daemon_does_not_spend_the_deadline(away: int) -> None:
    rules = quick_rules(deadline_seconds=600.0)
    rollout = RolloutSimulation(serving=InMemoryServing(rate=100.0), rules=rules).start_canary()
    rollout.run(20)
    for second in range(away - 30, away):  # traffic and scrapes go on
        rollout.serving.advance_traffic(rollout.now + second)
    rollout.now += away
    rollout.tick()
    assert rollout.phase is Phase.STEPPING
    assert rollout.state.rollout is not None
    assert rollout.state.rollout.spent_seconds <= 60.0
    rollout.until_live(2)


def test_counters_that_begin_again_without_a_restart_are_taken_as_new() -> None:
    """Another Envoy took over: its counts are no errors of an arm."""
    rollout = simulation(FaultyMetrics())
    rollout.run(10)
    counts: dict[str, list[int]] = rollout.serving._counts  # type: ignore[assignment]
    for index, more in enumerate((269_500, 41_696, 269_500, 12)):
        counts["canary"][index] += more
    rollout.until_live(2)
    assert all(verdict.outcome != "fail" for verdict in rollout.verdicts)


def test_the_counters_of_an_arm_are_whole() -> None:
    assert ArmCounters(arm="canary", requests=1, errors=0, timed=1, slow=0).requests == 1
