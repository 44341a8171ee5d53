"""Plans a rollout from its traffic: how long each step takes, and the smallest harm that is found.

The figures are those of healthy arms with the error share of the champion: the requests that the
gates need to pass (`serving.evalues.requests_for_pass`) divided by the requests that an arm gets. A
rollout at little traffic therefore needs longer steps and a later deadline, and it cannot find a
harm that is too small for its requests. Both are said before it starts.

Where even the latest deadline comes too early, the smallest steps are left out. A step needs the
same number of requests at any weight, so a harmful version meets as many clients at 10 % as at 1 %,
in a tenth of the time. A small first weight protects where many requests come in the seconds until
a version that fails is ejected; with one request in a second or fewer there are no such seconds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from serving.counts import KNOWN_SECONDS
from serving.evidence.slice_results import smallest_distance
from serving.margins import (
    CHANCE,
    CONTROL_RETURNS,
    EXPECTED_BAD,
    FOUND_LOG_E,
    graded,
    requests_to_pass,
    suspect_seconds,
)
from serving.rules import MAX_DEADLINE_SECONDS, RolloutRules
from serving.slice_counts import clients_of
from serving.slice_limits import is_large, slice_requests, smallest_slice_harm
from serving.state import ArmCounts

CERTAINTY = 3.0
"""The deadline, in planned durations."""

MAX_PLANNED_SECONDS = MAX_DEADLINE_SECONDS / CERTAINTY
"""A rollout that takes longer with all of its steps leaves out the smallest ones."""


Shares = tuple[tuple[str, float], ...]
"""Share of each slice in the requests, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStep:
    """One step of the plan."""

    weight: int
    """The canary's share in percent."""
    requests: int
    """Requests per arm that the gates need."""
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedSlice:
    """What the plan finds in one slice."""

    name: str
    share: float
    """Share of the requests."""
    requests: float
    """Requests of the slice that the canary gets until the last step ends."""
    smallest_harm: float
    """Excess share of errors in the slice that is found; 1 where not even a total failure is."""
    smallest_distance: float | None = None
    """Distance of the slice's scores that is found, if the applications write all predictions; 1
    where none is; None where scores are not judged by slice."""

    @property
    def text(self) -> str:
        """The slice in a few words."""
        share = f"{self.name} ({100 * self.share:.2g} % of the requests)"
        if self.smallest_harm >= 1:
            text = f"{share}: too few requests, not even a total failure is found"
        else:
            text = f"{share}: {100 * self.smallest_harm:.2g} %"
        if self.smallest_distance is None:
            return text
        if self.smallest_distance >= 1:
            return f"{text}, no difference of its scores"
        return f"{text}, scores that differ by {self.smallest_distance:.2g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutPlan:
    """What a rollout takes at its traffic."""

    requests_per_second: float
    steps: tuple[PlannedStep, ...]
    seconds: float
    """Sum of the steps."""
    longest_seconds: float
    """The same where evidence that proves nothing holds every step for as long as it may, and where
    as many controls as may be are replaced or compared anew, each at the longest step."""
    hold_seconds: float
    """For how long evidence that proves nothing holds a step at most."""
    replacements: int
    """How many sick controls are replaced at most; each replacement begins its step anew."""
    returns: int
    """How often it goes back a step at most, where the control is not known to be well at 50 %."""
    deadline_seconds: float
    """After this time in steps an unproven rollout is rolled back."""
    smallest_harm: float
    """Excess share of errors that fails the canary before the deadline in nine of ten rollouts; 1
    where not even that is found."""
    slices: tuple[PlannedSlice, ...] = ()
    left_out: tuple[PlannedStep, ...] = ()
    """The smallest steps, which would take too long."""

    @property
    def first_step(self) -> int:
        """Index in the rules' weights of the step that the rollout begins with."""
        return len(self.left_out)

    @property
    def decides(self) -> bool:
        """Whether the gates of healthy arms are expected to pass before the deadline."""
        return self.seconds <= self.deadline_seconds

    @property
    def text(self) -> str:
        """The plan in one sentence.

        >>> plan(RolloutRules(), 20.0).text[:41]
        'At 20 requests/s this takes about 29 min '
        """
        steps = ", ".join(f"{step.weight} %: {_duration(step.seconds)}" for step in self.steps)
        if math.isinf(self.seconds):
            return (
                "Without requests no gate can pass: the rollout is rolled back after "
                f"{_duration(self.deadline_seconds)} in steps."
            )
        harm = (
            f"The smallest harm that is found is about {100 * self.smallest_harm:.2g} percentage "
            "points more errors."
            if self.smallest_harm < 1
            else "Not even a total failure is found by these requests."
        )
        return (
            f"At {self.requests_per_second:,.4g} requests/s this takes about "
            f"{_duration(self.seconds)} ({steps}; deadline {_duration(self.deadline_seconds)}). "
            f"{self._holds_text}{self._left_out_text}{harm}{self._slices_text}"
        )

    @property
    def _holds_text(self) -> str:
        """What may make it longer, and how long it is then, as a further sentence."""
        causes = []
        if any(step.seconds < self.hold_seconds for step in self.steps):
            causes.append(
                "evidence that speaks against the canary and proves nothing holds a step for up "
                f"to {_duration(self.hold_seconds)}"
            )
        if self.replacements:
            controls = "a control" if self.replacements == 1 else "each control"
            causes.append(
                f"{controls} that is sick and replaced (at most {self.replacements}) begins its "
                "step anew"
            )
        if self.returns:
            causes.append(
                "a control that is not known to be well at 50 % is compared anew at the step "
                f"before (at most {self.returns} times)"
            )
        if not causes or self.longest_seconds <= self.seconds:
            return ""
        longest = _duration(self.longest_seconds)
        return f"With its holds it takes up to about {longest}: {'; '.join(causes)}. "

    @property
    def _left_out_text(self) -> str:
        """Which steps are left out, and that even so too little comes, as further sentences."""
        text = ""
        if self.left_out:
            parts = (f"{step.weight} % ({_duration(step.seconds)})" for step in self.left_out)
            text = f"Too few requests come for steps of {', '.join(parts)}: they are left out. "
        if not self.decides:
            text += (
                "The deadline comes first: it ends in a rollback, unless a person promotes the "
                "version, or errors_pp and slow_share tolerate more. "
            )
        return text

    @property
    def _slices_text(self) -> str:
        """The smallest harm of each slice, as a further sentence."""
        if not self.slices:
            return ""
        return f" In a slice: {'; '.join(part.text for part in self.slices)}."


@lru_cache(maxsize=128)
def plan(
    rules: RolloutRules,
    requests_per_second: float,
    *,
    bad_share: float = EXPECTED_BAD,
    shares: Shares = (),
) -> RolloutPlan:
    """Plan a rollout.

    Parameters
    ----------
    rules:
        Its rules. Their deadline is kept where it is later than the traffic needs.
    requests_per_second:
        Requests of the model, to all arms.
    bad_share:
        Share of bad requests of the live version.
    shares:
        Share of each slice in the requests, by name.
    """
    first, steps = _fitting(_all_steps(rules, requests_per_second, bad_share, shares))
    left_out, rules = steps[:first], replace(rules, steps=rules.weights[first:])
    steps = steps[first:]
    total = sum(step.seconds for step in steps)
    deadline = deadline_seconds(rules, total)
    seconds = [*(step.seconds for step in steps), deadline]
    return RolloutPlan(
        requests_per_second=requests_per_second,
        steps=tuple(steps),
        seconds=total,
        longest_seconds=_longest(rules, steps, deadline),
        hold_seconds=rules.warm_seconds + suspect_seconds(rules),
        replacements=rules.control_replacements,
        returns=_returns(steps),
        deadline_seconds=deadline,
        smallest_harm=_smallest_harm(rules, requests_per_second, seconds, bad_share),
        slices=tuple(
            _planned_slice(rules, name, share, requests_per_second, steps) for name, share in shares
        ),
        left_out=tuple(left_out),
    )


def _fitting(steps: Sequence[PlannedStep]) -> tuple[int, Sequence[PlannedStep]]:
    """The number of steps to leave out, the smallest first, and all steps.

    All stay where no request comes: nothing is known about a model that nobody uses yet.
    """
    if math.isinf(sum(step.seconds for step in steps)):
        return 0, steps
    for first in range(len(steps) - 1):
        if sum(step.seconds for step in steps[first:]) <= MAX_PLANNED_SECONDS:
            return first, steps
    return len(steps) - 1, steps


def _all_steps(
    rules: RolloutRules, requests_per_second: float, bad_share: float, shares: Shares
) -> list[PlannedStep]:
    """Every step of the rules with its requests and its time."""
    steps = []
    for index, weight in enumerate(rules.weights):
        requests = math.ceil(CHANCE * requests_to_pass(rules, index, bad_share))
        rate = requests_per_second * weight / 100
        needed = math.inf
        if rate > 0:
            parts = [share for _, share in shares if is_large(rules, index, share)]
            of_slices = (CHANCE * slice_requests(rules, index) / share for share in parts)
            needed = rules.warm_seconds + max(requests, *of_slices, 0) / rate
        steps.append(
            PlannedStep(weight=weight, requests=requests, seconds=max(rules.hold_seconds, needed))
        )
    return steps


def _returns(steps: Sequence[PlannedStep]) -> int:
    """How often a rollout goes back a step at most: where the stable arm gets no requests."""
    return CONTROL_RETURNS if len(steps) > 1 and steps[-1].weight == 50 else 0


def _longest(rules: RolloutRules, steps: Sequence[PlannedStep], deadline: float) -> float:
    """How long the steps take where everything that may hold them does.

    The time in steps ends at the deadline; that in which a fresh control loads is not part of it.
    """
    hold = rules.warm_seconds + suspect_seconds(rules)
    held = [max(step.seconds, hold) for step in steps]
    again = (rules.control_replacements + 2 * _returns(steps)) * max(held)
    return min(sum(held) + again, deadline) + rules.control_replacements * rules.prepare_seconds


def _planned_slice(
    rules: RolloutRules, name: str, share: float, rate: float, steps: Sequence[PlannedStep]
) -> PlannedSlice:
    requests = 0.0
    if rate > 0:
        requests = share * rate * sum(step.seconds * step.weight / 100 for step in steps)
    smallest = smallest_slice_harm(rules, requests)
    if is_large(rules, len(rules.weights) - 1, share):
        smallest = min(smallest, rules.slices.harm)  # more is not promoted, whether proven or not
    distance = None
    if rules.evidence.measured and rules.evidence.slices.values:
        distance = smallest_distance(rules.evidence.of_slice[0], requests / 2)
    return PlannedSlice(
        name=name,
        share=share,
        requests=requests,
        smallest_harm=smallest,
        smallest_distance=distance,
    )


def deadline_seconds(rules: RolloutRules, planned_seconds: float) -> float:
    """The deadline of the rules, or later where the traffic needs it.

    >>> deadline_seconds(RolloutRules(deadline_seconds=600.0), 1_000.0)
    3000.0
    >>> deadline_seconds(RolloutRules(deadline_seconds=600.0), math.inf)
    600.0
    """
    if math.isinf(planned_seconds):
        return rules.deadline_seconds
    return max(rules.deadline_seconds, min(CERTAINTY * planned_seconds, MAX_DEADLINE_SECONDS))


def plan_measured(rules: RolloutRules, counts: ArmCounts) -> RolloutPlan | None:
    """The plan at the traffic that was measured so far; None before anything was."""
    if counts.measured_seconds < KNOWN_SECONDS:
        return None
    rate = counts.measured_requests / counts.measured_seconds
    of_slices, everything = clients_of(counts.measured_slices), max(1, counts.measured_requests)
    shares = tuple(
        (name, _two_digits(of_slices.get(name, 0) / everything)) for name in rules.slices.values
    )
    return plan(rules, _two_digits(rate), shares=shares)


def _two_digits(value: float) -> float:
    """Two leading digits: a text should not change each second."""
    return float(f"{value:.1e}")


def deadline_of(rules: RolloutRules, counts: ArmCounts) -> float:
    """The deadline of a rollout in progress, in seconds spent in steps."""
    measured = plan_measured(rules, counts)
    return measured.deadline_seconds if measured is not None else rules.deadline_seconds


def harm_is_found(
    excess: float, rules: RolloutRules, rate: float, seconds: Sequence[float], bad_share: float
) -> bool:
    """Whether a canary with this excess of errors is failed before its time in steps ends.

    It climbs until the step whose margin it exceeds. There the requests of an arm must give the
    expected evidence n·δ²/(2(2p + δ)), the growth of the best bet on the difference of two Poisson
    counts, and the observed excess must be above the tolerance in nine of ten cases.
    """
    step, spent = 0, 0.0
    for step, duration in enumerate(seconds[:-1]):
        margin = rules.errors_pp / 100 * graded(rules.next_weight(step))
        if step + 1 == len(rules.weights) or excess > margin:
            break
        spent += duration
    n = rate * rules.weights[step] / 100 * max(0.0, seconds[-1] - spent)
    if n <= 0:
        return False
    variance = 2 * bad_share + excess
    seen = excess - 1.28 * math.sqrt(variance / n) > rules.errors_pp / 100
    return seen and n * excess * excess / (2 * variance) >= FOUND_LOG_E


def _smallest_harm(
    rules: RolloutRules, rate: float, seconds: Sequence[float], bad_share: float
) -> float:
    """The smallest excess on a logarithmic grid that is found."""
    excesses = (0.0005 * 1.05**k for k in range(156))
    return next((x for x in excesses if harm_is_found(x, rules, rate, seconds, bad_share)), 1.0)


def _duration(seconds: float) -> str:
    """A duration in words, rounded: an estimate should not look exact.

    >>> [_duration(s) for s in (45.0, 1_860.0, 9_000.0, 200_000.0)]
    ['45 s', '31 min', '2.5 h', '2.3 days']
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 7_200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3_600:.3g} h" if seconds < 172_800 else f"{seconds / 86_400:.2g} days"
