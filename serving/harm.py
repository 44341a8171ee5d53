"""Evidence of harm over several stretches of a rollout: all of it, one step, the latest minutes.

Harm does not always begin with the rollout. One bet runs over all blocks, one over each step, and
a new one begins every minute; their weights add up to 1, so the mixture is an e-value like each of
them (e-detectors: Shin, Ramdas & Rinaldo 2023). A stretch counts only if the excess *over that
stretch* is above the tolerance. Hours without harm therefore shield no later harm, and a difference
that is certain but tiny fails nobody.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from serving.correlation import FROM, SIZES, Counts, Dispersion, dispersion, pair_weight
from serving.evalues import decided, log_mixed

LONG_BLOCKS = 60
"""Blocks that count as one where errors wander: four minutes. Wandering with a correlation of up to
about 100 s is averaged within them."""

RESTART_BLOCKS = 15
"""A new bet begins after this many blocks: each minute."""

MATERIAL = 2.0
"""Wandering that may inflate the variance of the compared arms this much is material: evidence is
then counted in long blocks. Less is paid for, at the most that it may be."""

WHOLE, STEPS, RESTARTS = 0.5, 0.4, 0.1
"""Weights of the bet over the whole rollout, of those over the steps, and of those that begin each
minute: the k-th of these has 1/(k(k + 1)) of the last."""


@dataclass(frozen=True, slots=True)
class ArmPair:
    """Bad requests and requests of two arms, one number per block; the first arm is judged."""

    bad1: Counts
    requests1: Counts
    bad0: Counts
    requests0: Counts
    steps: NDArray[np.int64]
    """Step of each block."""

    def at(self, blocks: NDArray[np.bool_]) -> ArmPair:
        """The pair at some of its blocks."""
        return ArmPair(
            self.bad1[blocks],
            self.requests1[blocks],
            self.bad0[blocks],
            self.requests0[blocks],
            self.steps[blocks],
        )

    def merged(self, size: int) -> ArmPair:
        """The pair with `size` consecutive blocks as one; those that fill none are left out."""
        used = len(self.steps) // size * size

        def sums(counts: Counts) -> Counts:
            return np.asarray(counts[:used].reshape(-1, size).sum(axis=1))

        return ArmPair(
            sums(self.bad1),
            sums(self.requests1),
            sums(self.bad0),
            sums(self.requests0),
            self.steps[:used:size],
        )


Bet = Callable[[ArmPair], NDArray[np.float64]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Harm:
    """The evidence of harm, and the stretch that shows it best."""

    log_all: float = 0.0
    """Log e-value against the hypothesis that both arms are the same."""
    log_harm: float = 0.0
    """The part of it from stretches whose excess is above the tolerance; decides on a fail."""
    excess: float = 0.0
    """Difference of the shares of bad requests over the stretch with the most evidence; over all
    blocks where no stretch counts."""
    bad1: int = 0
    bad0: int = 0
    where: str = ""
    """The stretch, in words."""
    inflation: float = 1.0
    """Variance inflation by which the evidence of this stretch was divided. Evidence that would not
    decide undivided is not divided, and this is 1."""
    long_blocks: bool = False
    """Whether the evidence of this stretch was counted in blocks of four minutes instead, because
    the bad requests of an arm wander."""


@dataclass(frozen=True, slots=True)
class _Stretches:
    where: list[str]
    log_weights: NDArray[np.float64]
    member: NDArray[np.float64]
    """One row per stretch: 1 for the blocks that belong to it."""


def harm(
    pair: ArmPair,
    bet: Bet,
    *,
    planned_steps: int,
    tolerance: float,
    needed: float,
    champions: Callable[[], Dispersion],
    dead_share: float,
    log_weights: NDArray[np.float64] | None = None,
) -> Harm:
    """Judge every stretch.

    Parameters
    ----------
    pair:
        The counts of the arm that is judged, and of the one it is compared with.
    bet:
        Gives the log pay-outs of blocks, one row per bet and one column per block.
    planned_steps:
        Number of steps of the rollout.
    tolerance:
        Excess share of bad requests up to which a stretch does not count.
    needed:
        Log e-value that decides.
    champions:
        Dispersion of the arms that serve the champion, over all blocks.
    dead_share:
        Share of bad requests from which a block of the judged arm is dead, not wandering.
    log_weights:
        Logarithms of the weights of the bets; by default they are equal.
    """
    if not len(pair.steps):
        return Harm()
    stretches = _stretches(pair.steps, planned_steps)
    logs = log_mixed(bet(pair) @ stretches.member.T, log_weights)
    bad1, n1, bad0, n0 = (
        counts @ stretches.member.T
        for counts in (pair.bad1, pair.requests1, pair.bad0, pair.requests0)
    )
    excess = bad1 / np.maximum(1.0, n1) - bad0 / np.maximum(1.0, n0)
    harmful = excess > tolerance
    inflation, wanders = np.ones(len(logs)), np.zeros(len(logs), dtype=bool)
    if _log_sum(stretches.log_weights + logs, harmful) >= needed:
        of_champions = champions()
        for index in np.flatnonzero(harmful & (logs > 0)):
            at = stretches.member[index] > 0
            # compared within each step: harm that begins with a step is not wandering
            own = dispersion(pair.bad1[at], pair.requests1[at], pair.steps[at], at_most=dead_share)
            inflation[index], wanders[index] = _wandering(of_champions + own, pair.at(at))
            if wanders[index]:
                logs[index] = _log_long(pair.at(at), bet, log_weights)
    paid = stretches.log_weights + logs / inflation
    shown = int(np.argmax(np.where(harmful, paid, -np.inf))) if harmful.any() else 0
    waiting = 1.0 - float(np.exp(stretches.log_weights).sum())
    everything = np.append(paid, math.log(max(waiting, 1e-12)))
    return Harm(
        log_all=decided(float(np.logaddexp.reduce(everything))),
        log_harm=decided(_log_sum(paid, harmful)),
        excess=float(excess[shown]),
        bad1=int(bad1[shown]),
        bad0=int(bad0[shown]),
        where=stretches.where[shown],
        inflation=round(float(inflation[shown]), 6),
        long_blocks=bool(wanders[shown]),
    )


def _wandering(both: Dispersion, pair: ArmPair) -> tuple[float, bool]:
    """By how much wandering inflates the variance of two arms, and whether to use long blocks."""
    arms = (pair.bad1, pair.requests1, pair.bad0, pair.requests0)
    weights = [pair_weight(*arms, size) for size in SIZES[FROM:]]
    if not both.wanders:
        return both.inflation_of(weights), False
    most = both.inflation_of(weights, at_most=True)
    return (1.0, True) if most >= MATERIAL else (most, False)


def _log_long(pair: ArmPair, bet: Bet, log_weights: NDArray[np.float64] | None) -> float:
    """The log e-value of blocks of which `LONG_BLOCKS` count as one.

    Each is a bet of its own, and pays at most 2. Two identical arms that wander are equally likely
    to be the worse one in each, but for the little that reaches over its ends. Blocks that fill no
    long one yet do not count, so that what is proven once is not taken back by the next block.
    """
    groups = len(pair.steps) // LONG_BLOCKS
    if not groups:
        return 0.0
    return float(log_mixed(bet(pair.merged(LONG_BLOCKS)).sum(axis=1)[:, None], log_weights)[0])


def _stretches(steps: NDArray[np.int64], planned: int) -> _Stretches:
    """The stretches that have begun, with the weights of their bets."""
    count = len(steps)
    where, weights = ["in the whole rollout"], [WHOLE]
    members: list[Counts] = [np.ones(count)]
    for step in range(planned):
        at = steps == step
        if at.any():
            where.append(f"at step {step + 1}")
            weights.append(STEPS / planned)
            members.append(at.astype(np.float64))
    for k, start in enumerate(range(RESTART_BLOCKS, count, RESTART_BLOCKS), start=1):
        where.append(f"in the last {count - start} blocks")
        weights.append(RESTARTS / (k * (k + 1)))
        members.append((np.arange(count) >= start).astype(np.float64))
    return _Stretches(where, np.log(weights), np.asarray(members))


def _log_sum(logs: NDArray[np.float64], counted: NDArray[np.bool_]) -> float:
    """The logarithm of the sum; 0 where nothing is counted."""
    return float(np.logaddexp.reduce(logs[counted])) if counted.any() else 0.0
