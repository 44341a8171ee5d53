"""The evidence of one slice: harm over the rollout, and the margin disproven at the present step.

A slice is compared like all requests are (`serving.comparison`, `serving.control`): the same bets
on the same blocks, with the slice's requests only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from msgspec.structs import astuple
from numpy.typing import NDArray

from serving.comparison import JudgedBlocks
from serving.correlation import Dispersion, dispersion
from serving.evalues import (
    decided,
    log_pass,
    log_share_below,
    missing_for_pass,
    missing_for_share,
    pair_overdispersion,
    rounded_up,
    share_bets,
    symmetry_bets,
)
from serving.harm import ArmPair, Bet, Harm, harm
from serving.rules import RolloutRules
from serving.slice_counts import slice_shares
from serving.slice_limits import is_large, slice_margin, slice_requests

Floats = NDArray[np.float64]
BadKind = Literal["errors", "slow"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceArms:
    """One slice's bad requests and requests of each arm, one number per block: 1 = canary,
    0 = control."""

    bad1: Floats
    n1: Floats
    bad0: Floats
    n0: Floats
    bad_stable: Floats
    n_stable: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceEvidence:
    """What the requests of one slice say about an arm, and about the one it is compared with."""

    name: str
    harm: Harm
    requests: int
    """Of the judged arm, over the rollout."""
    bad: int
    requests_beside: int
    bad_beside: int
    share: float
    """Share of the slice in the clients' requests."""
    missing: int
    """Requests per arm until the margin of the step is disproven; 0 where it is."""
    large: bool
    """Whether the slice has enough requests for the rollout to wait for what is missing."""


@dataclass(frozen=True, kw_only=True)
class SliceLook:
    """What all slices of a look have in common."""

    judged: JudgedBlocks
    rules: RolloutRules
    tolerance: float
    """Excess share of bad requests up to which no slice fails."""

    def evidence(self, kind: BadKind, *, alpha: float, of_control: bool) -> list[SliceEvidence]:
        """The evidence in each slice.

        Parameters
        ----------
        kind:
            What is bad.
        alpha:
            Probability that a look at the slices is wrong, all of them together.
        of_control:
            Whether the control is judged beside the stable arm, instead of the canary beside it.
        """
        judge = _control if of_control else _canary
        table = self.table[kind]
        return [
            judge(name, _arms(rows), self, alpha, self.shares[name])
            for name, rows in zip(self.rules.slices.values, table, strict=True)
        ]

    @cached_property
    def steps(self) -> NDArray[np.int64]:
        """Step of each block."""
        return np.asarray([block.step for block in self.judged.blocks], dtype=np.int64)

    @cached_property
    def current(self) -> NDArray[np.bool_]:
        """Blocks of the current run and the present control server."""
        runs = [block.run == self.judged.run for block in self.judged.blocks]
        return np.asarray(runs, dtype=np.bool_) & self.since_control

    @cached_property
    def since_control(self) -> NDArray[np.bool_]:
        """Blocks of the present control server."""
        return np.arange(len(self.judged.blocks)) >= self.judged.control_from

    @cached_property
    def shares(self) -> dict[str, float]:
        """Share of each slice in the clients' requests."""
        return slice_shares(self.judged.blocks, self.rules.slices.values)

    @cached_property
    def table(self) -> dict[BadKind, Floats]:
        """By slice, bad requests and requests of canary, control and stable arm in each block.

        A request that failed twice is one bad request.
        """
        place = {name: index for index, name in enumerate(self.rules.slices.values)}
        blocks = self.judged.blocks
        parts = [
            (place[part.name], column, *astuple(part)[1:])
            for column, block in enumerate(blocks)
            for part in block.slices
            if part.name in place  # another one was configured when the rollout began
        ]
        tables: dict[BadKind, Floats] = {}
        rows, columns, *counts = np.asarray(parts, dtype=np.int64).reshape(-1, 11).T
        requests, errors, slow = counts[:3], counts[3:6], counts[6:]
        kinds: tuple[tuple[BadKind, Sequence[NDArray[np.int64]]], ...]
        kinds = (("errors", errors), ("slow", slow))
        for kind, bad in kinds:
            table = np.zeros((len(place), 6, len(blocks)))
            for arm in range(3):
                table[rows, 2 * arm, columns] = np.minimum(bad[arm], requests[arm])
                table[rows, 2 * arm + 1, columns] = requests[arm]
            tables[kind] = table
        return tables


def _arms(rows: Floats) -> SliceArms:
    bad1, n1, bad0, n0, bad_stable, n_stable = rows
    return SliceArms(bad1=bad1, n1=n1, bad0=bad0, n0=n0, bad_stable=bad_stable, n_stable=n_stable)


def _canary(
    name: str, arms: SliceArms, look: SliceLook, alpha: float, share: float
) -> SliceEvidence:
    """The canary beside the control."""
    pair = ArmPair(arms.bad1, arms.n1, arms.bad0, arms.n0, look.steps)
    champions = (arms.bad0, arms.n0), (arms.bad_stable, arms.n_stable)

    def bet(blocks: ArmPair) -> Floats:
        return symmetry_bets(blocks.bad1 - blocks.bad0, look.rules.lambdas)

    missing = max(_disproof_missing(pair, look), _excess_missing(pair, look))
    return _evidence(name, pair, bet, champions, look, alpha=alpha, share=share, missing=missing)


def _control(
    name: str, arms: SliceArms, look: SliceLook, alpha: float, share: float
) -> SliceEvidence:
    """The control beside the stable arm, which gets most of the requests, or none."""
    seen = look.since_control.astype(np.float64)
    pair = ArmPair(
        arms.bad0 * seen, arms.n0 * seen, arms.bad_stable * seen, arms.n_stable * seen, look.steps
    )

    def bet(blocks: ArmPair) -> Floats:
        paid = share_bets(blocks.bad1, blocks.requests1, blocks.bad0, blocks.requests0)
        return np.where(blocks.requests0 > 0, paid, 0.0)

    champions = ((pair.bad0, pair.requests0),)
    missing = _reference_missing(pair, look)
    return _evidence(name, pair, bet, champions, look, alpha=alpha, share=share, missing=missing)


def _evidence(
    name: str,
    pair: ArmPair,
    bet: Bet,
    champions: Sequence[tuple[Floats, Floats]],
    look: SliceLook,
    *,
    alpha: float,
    share: float,
    missing: int,
) -> SliceEvidence:
    rules, judged = look.rules, look.judged
    harmed = Harm()
    # A block pays at most 2, so that too few bad blocks need no look at every stretch.
    if np.count_nonzero(pair.bad1) * math.log(2) >= math.log(1 / alpha) / 2:
        since = look.since_control
        harmed = harm(
            pair,
            bet,
            planned_steps=len(rules.weights),
            tolerance=look.tolerance,
            # the slices decide together, so one that decides with others is divided too
            needed=math.log(1 / alpha),
            champions=lambda: sum(
                (dispersion(bad[since], requests[since]) for bad, requests in champions),
                Dispersion(),
            ),
            dead_share=rules.ejection.bad_share / 2,
        )
    return SliceEvidence(
        name=name,
        harm=harmed,
        requests=int(pair.requests1.sum()),
        bad=int(pair.bad1.sum()),
        requests_beside=int(pair.requests0.sum()),
        bad_beside=int(pair.bad0.sum()),
        share=share,
        missing=missing,
        large=is_large(rules, judged.step, share),
    )


def _disproof_missing(pair: ArmPair, look: SliceLook) -> int:
    """Requests per arm until it is disproven that the canary is worse by the margin."""
    margin = slice_margin(look.rules, look.judged.step)
    if margin >= 1:
        return 0
    at = look.current
    bad1, bad0 = pair.bad1[at], pair.bad0[at]
    phi = pair_overdispersion((bad1 - bad0).tolist(), (bad1 + bad0).tolist())
    counts = (bad1.sum(), pair.requests1[at].sum(), bad0.sum(), pair.requests0[at].sum())
    x1, n1, x0, n0 = (float(count) / phi for count in counts)
    needed = math.log(1 / look.rules.alphas.passing)
    if decided(log_pass(x1, n1, x0, n0, margin)) >= needed:
        return 0
    if not (x1 or x0):
        return _healthy_missing(look, min(n1, n0))
    return rounded_up(math.ceil(phi * missing_for_pass(x1, n1, x0, n0, margin, needed)))


def _healthy_missing(look: SliceLook, requests: float) -> int:
    """Requests that a slice without a bad one still needs; most slices are like this."""
    return rounded_up(max(1, slice_requests(look.rules, look.judged.step) - int(requests)))


def _excess_missing(pair: ArmPair, look: SliceLook) -> int:
    """Requests after which the observed excess is within the margin, if no more are bad: over the
    step in all its runs and over the rollout, so that a protective pause hides nothing."""
    margin, missing = slice_margin(look.rules, look.judged.step), 0
    if margin >= 1:
        return 0
    for at in (look.steps == look.judged.step, look.steps >= 0):
        beside = at & look.since_control
        allowed = margin + float(pair.bad0[beside].sum() / max(1.0, pair.requests0[beside].sum()))
        more = math.ceil(float(pair.bad1[at].sum()) / allowed - float(pair.requests1[at].sum()))
        missing = max(missing, rounded_up(max(0, more)))
    return missing


def _reference_missing(pair: ArmPair, look: SliceLook) -> int:
    """Requests until it is disproven that the control is worse than the stable arm by the margin.

    The stable arm's requests of all weights count: at 50 % it gets none.
    """
    margin = slice_margin(look.rules, look.judged.step)
    if margin >= 1:
        return 0
    at = look.current
    x, n = float(pair.bad1[at].sum()), float(pair.requests1[at].sum())
    y, m = float(pair.bad0.sum()), float(pair.requests0.sum())
    needed = math.log(1 / look.rules.alphas.passing)
    if not m:
        if decided(log_share_below(x, n, margin)) >= needed:
            return 0
        return rounded_up(missing_for_share(x, n, margin, needed))
    if m > n > 0:  # more requests than the control's cannot prove more about the control
        y, m = y * n / m, n
    if decided(log_pass(x, n, y, m, margin)) >= needed:
        return 0
    if not (x or y):
        return _healthy_missing(look, n)
    return rounded_up(missing_for_pass(x, n, y, m, margin, needed))
