"""A rollout on simulated traffic: our judge, and Flagger's and Argo's rules beside it.

The pure judge is looked at every four seconds, a block, on counters that go through
`serving.counts`. Phases are not simulated: a failed verdict ends the rollout, a pass after the hold
time moves on, and the deadline ends what is not decided.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from serving.counts import add_scrapes, add_traffic, begin_run, blocks_before
from serving.gates import judge_gates
from serving.ports import Arm, ArmCounters, Scrape, SliceCounters
from serving.rules import RolloutRules
from serving.state import ArmCounts
from serving.verdict import judge
from tests.simulations.canary.traffic import Traffic

LOOK_SECONDS = 4
Result = Literal["promoted", "failed", "held", "control sick"]


@dataclass(frozen=True, slots=True)
class Ending:
    """How a rollout ended."""

    result: Result
    seconds: int
    exposed: int
    """Requests that the canary got."""


class Counters:
    """Cumulative counters of the arms, and the scrapes of them."""

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self._totals: dict[str, list[int]] = {}
        self._slices: dict[str, dict[str, list[int]]] = {}
        self._started = 0
        self.exposed = 0

    def second(self, at: int, weight: int) -> Scrape | None:
        """One second of traffic, and the scrape at its end; None if it was lost."""
        family, random = self._traffic.family, self._traffic.random
        if family.reset_seconds and at and at % family.reset_seconds == 0:
            self._totals, self._slices, self._started = {}, {}, at
        for arm, (n, errors, slow) in self._traffic.second(at, weight).items():
            total = self._totals.setdefault(arm, [0, 0, 0])
            for index, more in enumerate((n, errors, slow)):
                total[index] += more
            self.exposed += n if arm == "canary" else 0
        for arm, by_slice in self._traffic.by_slice.items():
            of_arm = self._slices.setdefault(arm, {})
            for name, counts in by_slice.items():
                known = of_arm.get(name, [0, 0, 0])
                of_arm[name] = [old + more for old, more in zip(known, counts, strict=True)]
        if family.lost and random.random() < family.lost:
            return None
        names: list[Arm] = ["stable", "control", "canary"]
        if family.lacking and random.random() < family.lacking:
            names.remove(names[int(random.integers(3))])
        arms = tuple(
            ArmCounters(
                arm=arm,
                requests=n,
                errors=errors,
                timed=n,
                slow=slow,
                slices=tuple(
                    SliceCounters(name=name, requests=m, errors=bad, timed=m, slow=late)
                    for name, (m, bad, late) in self._slices.get(arm, {}).items()
                    if m
                ),
            )
            for arm in names
            for n, errors, slow in (self._totals[arm],)
        )
        return Scrape(at=float(at + 1), uptime_seconds=float(at + 1 - self._started), arms=arms)

    def totals(self, arm: str) -> NDArray[np.int64]:
        """Requests, errors and slow responses of an arm since the last restart."""
        return np.asarray(self._totals.get(arm, [0, 0, 0]), dtype=np.int64)


def ours(
    traffic: Traffic, rules: RolloutRules, *, seconds: int, look_seconds: int = LOOK_SECONDS
) -> Ending:
    """A rollout with our judge, which knows the live version's last minutes before it."""
    counters, step, begin = Counters(traffic), 0, traffic.before
    counts = begin_run(_measured(counters, rules, begin), step=0)
    known, since = blocks_before(counts.blocks), begin
    sick = False
    for at in range(begin, begin + seconds):
        scrape = counters.second(at, rules.weights[step])
        if scrape is not None:
            counts = add_scrapes(counts, (scrape,), since=float(since), rules=rules, now=at + 1.0)
        if (at + 1) % look_seconds:
            continue
        gates = judge_gates(
            counts.blocks[known:],
            run=counts.run,
            step=step,
            rules=rules,
            before=counts.blocks[:known],
        )
        silent = at + 1 - (counts.heard_at or since)
        verdict = judge(gates, silent_seconds=silent, stale_seconds=rules.stale_seconds)
        if verdict.outcome == "fail":
            return Ending("failed", at + 1 - begin, counters.exposed)
        sick = sick or verdict.control_is_sick
        if verdict.outcome == "pass" and at + 1 - since >= rules.hold_seconds:
            if step + 1 == len(rules.weights):
                return Ending("promoted", at + 1 - begin, counters.exposed)
            step, since = step + 1, at + 1
            counts = begin_run(counts, step=step)
    return Ending("control sick" if sick else "held", seconds, counters.exposed)


def _measured(counters: Counters, rules: RolloutRules, seconds: int) -> ArmCounts:
    """The counts of the live version in the time before the rollout."""
    scrapes = [counters.second(at, 0) for at in range(seconds)]
    known = (scrape for scrape in scrapes if scrape is not None)
    return add_traffic(ArmCounts(), known, seconds=rules.block_seconds)


def flagger(traffic: Traffic, rules: RolloutRules, *, seconds: int) -> Ending:
    """Flagger's example: success rate at least 99 % and p99 at most 500 ms each minute; five failed
    checks roll back, a minute without data halts the step."""
    counters, step, failed = Counters(traffic), 0, 0
    before = counters.totals("canary")
    for at in range(seconds):
        counters.second(at, rules.weights[step])
        if (at + 1) % 60:
            continue
        minute = counters.totals("canary") - before
        before = counters.totals("canary")
        if minute[0] <= 0 or minute[1] > 0.01 * minute[0]:
            failed += 1
            if failed >= 5:
                return Ending("failed", at + 1, counters.exposed)
            continue
        step += 1
        if step == len(rules.weights):
            return Ending("promoted", at + 1, counters.exposed)
    return Ending("held", seconds, counters.exposed)


def argo(traffic: Traffic, rules: RolloutRules, *, seconds: int) -> Ending:
    """Argo's analysis of the point estimate each 20 s: errors at most 0.5 points above the control
    and at most 1 % slow; one failed measurement aborts, an empty one passes."""
    counters, step = Counters(traffic), 0
    before = {arm: counters.totals(arm) for arm in ("canary", "control")}
    for at in range(seconds):
        counters.second(at, rules.weights[step])
        if (at + 1) % 20 == 0:
            change = {arm: counters.totals(arm) - before[arm] for arm in before}
            before = {arm: counters.totals(arm) for arm in before}
            canary, control = (change[arm] / max(1, change[arm][0]) for arm in before)
            if canary[1] > control[1] + 0.005 or canary[2] > 0.01:
                return Ending("failed", at + 1, counters.exposed)
        if (at + 1) % 60 == 0:
            step += 1
            if step == len(rules.weights):
                return Ending("promoted", at + 1, counters.exposed)
    return Ending("held", seconds, counters.exposed)


JUDGES = {"ours": ours, "Flagger": flagger, "Argo": argo}
