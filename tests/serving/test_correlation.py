"""Errors that wander in one arm: they are seen, and are no harm of the version."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from serving.correlation import Dispersion, dispersion, pair_weight
from serving.counts import BEFORE, blocks_before
from serving.evalues import symmetry_bets
from serving.gates import judge_gates
from serving.harm import LONG_BLOCKS, ArmPair, Harm, harm
from serving.phase import Phase
from serving.rules import LAMBDAS, RolloutRules
from serving.state import Block
from tests.serving.rollout_simulation import RolloutSimulation, version

NEEDED = math.log(100)


def wandering(rng: Any, blocks: int, *, seconds: float = 50.0, log_sd: float = 1.5) -> Any:
    """Factors of mean 1 whose logarithm is an AR(1) series, one for each block of 4 s."""
    rho = math.exp(-4.0 / seconds)
    steps = rng.standard_normal(blocks) * math.sqrt(1 - rho * rho)
    series = [rng.standard_normal()]
    for step in steps[1:]:
        series.append(rho * series[-1] + step)
    return np.exp(log_sd * np.array(series) - log_sd**2 / 2)


def share_of(runs: int, draw: Any) -> float:
    rng = np.random.default_rng(1)
    return sum(dispersion(*draw(rng)).wanders for _ in range(runs)) / runs


@pytest.mark.parametrize("blocks", [12, 120])
@pytest.mark.parametrize("errors", [0.05, 0.5, 10.0])
def test_errors_that_come_by_chance_hardly_ever_seem_to_wander(blocks: int, errors: float) -> None:
    def draw(rng: Any) -> Any:
        return rng.poisson(errors, blocks), np.full(blocks, 500 * errors)

    assert share_of(300, draw) <= 0.09


@pytest.mark.parametrize("seconds", [20.0, 50.0, 100.0])
def test_ten_minutes_show_that_errors_wander(seconds: float) -> None:
    def draw(rng: Any) -> Any:
        return rng.poisson(10 * wandering(rng, 120, seconds=seconds)), np.full(120, 5000.0)

    assert share_of(200, draw) >= 0.99


def test_blocks_that_vary_independently_are_known_after_some_minutes() -> None:
    """Negative binomial counts: at first they are taken for wandering, which costs time only."""

    def draw(blocks: int) -> Any:
        return lambda rng: (
            rng.poisson(10 * rng.gamma(2.0, 0.5, blocks)),
            np.full(blocks, 5000.0),
        )

    assert share_of(200, draw(240)) <= 0.15
    assert share_of(200, draw(24)) >= 0.8


def pair(canary: Any, control: Any) -> ArmPair:
    count = len(canary)
    requests = np.full(count, 500.0)
    return ArmPair(canary, requests, control, requests, np.zeros(count, dtype=np.int64))


def judged(arms: ArmPair, champions: Dispersion) -> Harm:
    return harm(
        arms,
        lambda blocks: symmetry_bets(blocks.bad1 - blocks.bad0, LAMBDAS),
        planned_steps=1,
        tolerance=0.005,
        needed=NEEDED,
        champions=lambda: champions,
        dead_share=0.25,
    )


def test_harm_beside_a_version_that_wanders_is_proven_in_long_blocks_only() -> None:
    rng = np.random.default_rng(0)
    history = dispersion(rng.poisson(10 * wandering(rng, 120)), np.full(120, 5000.0))
    assert history.wanders
    size = LONG_BLOCKS * 12
    canary, control = rng.poisson(25.0, size) + 0.0, rng.poisson(1.0, size) + 0.0
    quiet = dispersion(rng.poisson(10, 120), np.full(120, 5000.0))
    assert judged(pair(canary[:20], control[:20]), quiet).log_harm >= NEEDED
    soon = judged(pair(canary[:300], control[:300]), history)
    assert soon.long_blocks
    assert soon.log_harm < NEEDED
    late = judged(pair(canary, control), history)
    assert late.long_blocks
    assert late.log_harm >= NEEDED


def test_evidence_in_long_blocks_is_not_taken_back_by_the_next_block() -> None:
    rng = np.random.default_rng(0)
    history = dispersion(rng.poisson(10 * wandering(rng, 120)), np.full(120, 5000.0))
    size = LONG_BLOCKS * 10
    canary, control = rng.poisson(25.0, size) + 0.0, rng.poisson(1.0, size) + 0.0
    whole = judged(pair(canary, control), history).log_all
    for more in (1, 20):
        longer = pair(np.append(canary, [0.0] * more), np.append(control, [0.0] * more))
        assert judged(longer, history).log_all >= whole - 0.05


def block(step: int, run: int, **counts: Any) -> Block:
    return Block(run, step, **counts)


def test_an_outage_before_the_rollout_changes_no_verdict() -> None:
    rules = RolloutRules(steps=(10, 50))
    served = {"n1": 500, "n0": 500, "timed1": 500, "timed0": 500}
    stable = {"n_stable": 4000, "timed_stable": 4000}
    blocks = [block(0, 1, **served, **stable, errors1=1, errors0=1) for _ in range(12)]
    calm = [block(BEFORE, 0, **stable, errors_stable=8) for _ in range(100)]
    outage = [block(BEFORE, 0, **stable, errors_stable=4000) for _ in range(12)]
    results = [
        judge_gates(blocks, run=1, step=0, rules=rules, before=before)
        for before in ((), calm, [*calm, *outage])
    ]
    assert results[0] == results[1] == results[2]
    worse = [replace(entry, errors1=40) for entry in blocks]
    for before in (calm, [*calm, *outage]):
        gates = judge_gates(worse, run=1, step=0, rules=rules, before=before)
        assert gates[0].outcome == "fail"


def test_a_rollout_knows_the_minutes_before_it_and_judges_none_of_them() -> None:
    simulation = RolloutSimulation()
    simulation.send(version(1)).until_live(1).run(120)
    simulation.send(version(2)).until_phase(Phase.STEPPING).run(10)
    rollout = simulation.state.rollout
    assert rollout is not None
    known = blocks_before(rollout.counts.blocks)
    assert 25 <= known <= 40
    assert all(entry.n1 == 0 and entry.n_stable > 0 for entry in rollout.counts.blocks[:known])
    assert rollout.counts.measured_seconds > 100
    simulation.until_live(2)
    assert max(verdict.requests for verdict in simulation.verdicts) > 0


def test_an_outage_leaves_no_trace_in_the_blocks_beside_it() -> None:
    quiet, requests = [1] * 60, [500] * 60
    outage = [*quiet[:20], 60, 480, 500, 40, *quiet[24:]]
    whole = dispersion(outage, requests, at_most=0.25)
    assert not whole.wanders
    assert whole.inflation == 1.0
    assert dispersion(outage, requests).wanders


def test_a_large_arm_that_varies_a_little_says_little_about_small_ones() -> None:
    """Twice the variance of chance at 60 errors in half a minute is a hundredth of it at 0.6."""
    groups = np.tile(np.repeat([51, 69], 7), 17)
    large = dispersion(groups / 7, np.full(len(groups), 5000.0))
    small, requests = np.full(12, 0.5), np.full(12, 50.0)
    arm = (groups / 7, np.full(len(groups), 5000.0))
    equal = large.inflation_of([pair_weight(*arm, *arm, 7)])
    tiny = large.inflation_of([pair_weight(small, requests, small, requests, 7)])
    assert large.inflation > 1.2
    assert equal == pytest.approx(large.inflation, rel=0.15)
    assert tiny < 1.05


def test_wandering_that_is_lost_in_the_chance_of_few_requests_delays_no_proof() -> None:
    """Log-sd 0.05 in a stable arm with 1,000 errors a block, and a canary with one."""
    rng = np.random.default_rng(3)
    large = np.full(240, 500_000.0)
    history = dispersion(rng.poisson(1000 * wandering(rng, 240, log_sd=0.05)), large)
    assert history.wanders
    requests, steps = np.full(20, 100.0), np.zeros(20, dtype=np.int64)
    canary: Any = rng.poisson(1.2, 20) + 0.0
    control: Any = rng.poisson(0.1, 20) + 0.0
    arms = ArmPair(canary, requests, control, requests, steps)
    result = judged(arms, history)
    assert not result.long_blocks
    assert result.log_harm >= NEEDED
    strong = dispersion(rng.poisson(1000 * wandering(rng, 240)), large)
    assert judged(arms, strong).long_blocks
