"""A rollout as a tree: step, weight set and measured, each arm's version and health, each gate."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from rich.text import Text
from rich.tree import Tree

from deploy.config.units import format_time
from deploy.records.describe import describe
from deploy.views.escapes import one_line
from deploy.views.output import outcome_text
from serving.phase import Phase
from streaming.contracts.records import CanaryVerdict, GateResult, RolloutStatus, SliceResult


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmView:
    """One arm of the traffic."""

    role: str
    version: str
    """The loaded version, with its state while it is not available."""
    health: str
    weight: int | None
    """The share that Envoy has in force, percent; None when it does not answer."""
    measured: float | None
    """The share of the latest requests, percent; None when it is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutView:
    """What is known about a rollout at one moment."""

    status: RolloutStatus
    verdict: CanaryVerdict | None
    """The newest verdict of this rollout."""
    steps: int
    """Number of steps before the promotion."""
    arms: tuple[ArmView, ...] = ()
    problems: tuple[str, ...] = ()
    """Engines that did not answer."""

    @property
    def ended(self) -> bool:
        """Whether nothing is being rolled out."""
        return self.status.phase == Phase.IDLE


def rollout_tree(view: RolloutView) -> Tree:
    """The rollout as one tree, which `--watch` redraws."""
    status = view.status
    tree = Tree(one_line(f"{status.model}: {describe(status)}"))
    step = "" if view.ended else f", {step_text(status.step, view.steps)}"
    tree.add(f"since {format_time(status.at)}{step}, weight set {status.weight} %")
    if status.waits_for:
        tree.add(Text(one_line(f"waits for {status.waits_for}"), style="yellow"))
    if view.arms:
        branch = tree.add("arms")
        for arm in view.arms:
            branch.add(_arm_text(arm))
    if view.verdict is not None:
        branch = tree.add(_verdict_text(view.verdict, view.steps))
        for gate in view.verdict.gates:
            below = branch.add(_gate_text(gate))
            for part in _shown_slices(gate):
                below.add(slice_text(part))
    for problem in view.problems:
        tree.add(Text(one_line(problem), style="yellow"))
    return tree


def rollout_lines(view: RolloutView) -> Iterator[str]:
    """The rollout as lines, of which `--watch` prints the changed ones off a terminal."""
    status = view.status
    yield one_line(f"{status.model}: {describe(status)}")
    if status.waits_for:
        yield one_line(f"waits for {status.waits_for}")
    for arm in view.arms:
        yield f"{arm.role}: version {arm.version}, {arm.health}"
    if view.verdict is not None:
        verdict = view.verdict
        yield f"{step_text(verdict.step, view.steps)} at {verdict.weight} %: {verdict.outcome}"
        for gate in verdict.gates:
            yield one_line(f"gate {gate.gate}: {gate.outcome}{_mode(gate)}")
            for part in gate.slices:
                if part.outcome in ("fail", "error"):
                    yield one_line(f"slice {part.name} of {gate.gate}: {part.outcome}")


def step_text(step: int, steps: int) -> str:
    """A step in words; `step` is its index from 0.

    >>> step_text(2, 5)
    'step 3 of 5'
    """
    return f"step {step + 1} of {steps}" if step >= 0 else f"before step 1 of {steps}"


def _arm_text(arm: ArmView) -> Text:
    weight = "–" if arm.weight is None else f"{arm.weight} %"
    measured = "–" if arm.measured is None else f"{arm.measured:.1f} %"
    text = Text(f"{arm.role}: version {arm.version}, ")
    text.append_text(outcome_text(arm.health))
    return text.append(f", weight {weight}, measured {measured}")


def _verdict_text(verdict: CanaryVerdict, steps: int) -> Text:
    text = Text(f"gates at {step_text(verdict.step, steps)} ({verdict.weight} %): ")
    text.append_text(outcome_text(verdict.outcome))
    return text.append(f", {verdict.requests} requests in {verdict.seconds_in_step:.0f} s")


def _gate_text(gate: GateResult) -> Text:
    text = Text(one_line(f"{gate.gate}: "))
    text.append_text(outcome_text(gate.outcome))
    text.append(_mode(gate))
    missing = f", {gate.missing} requests missing" if gate.missing else ""
    reason = one_line(f": {gate.reason}") if gate.reason else ""
    return text.append(f", {value_against_limit(gate)}, n {gate.n}{missing}{reason}")


def _shown_slices(gate: GateResult) -> Iterator[SliceResult]:
    """Every slice where errors are counted or scores compared; elsewhere those that the rollout
    waits for or fails."""
    for part in gate.slices:
        waits = part.outcome == "insufficient" and part.holds
        everything = gate.gate in ("errors_by_slice", "predictions_by_slice")
        if everything or waits or part.outcome in ("fail", "error"):
            yield part


def slice_text(part: SliceResult) -> Text:
    """One slice: its outcome, its counts in both arms, and what could not be found."""
    text = Text(one_line(f"{part.name} ({100 * part.share:.2g} % of the requests): "))
    text.append_text(outcome_text(part.outcome))
    if part.value is not None:
        return text.append_text(_measured_in(part))
    text.append(
        f", {part.bad} of {part.requests} against {part.bad_beside} of {part.requests_beside}"
    )
    if not part.holds:
        harm = (
            "not even a total failure is found"
            if part.smallest_harm >= 1
            else f"smallest harm found {100 * part.smallest_harm:.2g} %"
        )
        return text.append(f", too few requests to judge: {harm}")
    return text.append(f", {part.missing} requests missing" if part.missing else "")


def _measured_in(part: SliceResult) -> Text:
    """What a gate on scores or quality measured in a slice."""
    text = Text(f", differs by {part.value:.3f}, {part.requests} against {part.requests_beside}")
    if part.missing:
        return text.append(f", {part.missing} missing")
    if part.outcome == "insufficient" and not part.holds:
        smallest = (
            "no difference is found"
            if part.smallest_harm >= 1
            else f"smallest found {part.smallest_harm:.2g}"
        )
        return text.append(f", too few to judge: {smallest}")
    return text


def _mode(gate: GateResult) -> str:
    """The mode of a gate that does not decide alone."""
    return "" if gate.mode == "critical" else f" ({gate.mode})"


def value_against_limit(gate: GateResult) -> str:
    """What a gate measured and its limit; the evidence behind it is in the record."""
    samples = {sample.name: sample.value for sample in gate.samples}
    match gate.gate:
        case "errors" | "slow" | "control_errors" | "control_slow" if (
            gate.n and "excess" in samples
        ):
            return f"excess {100 * samples['excess']:+.2f} pp, limit {100 * gate.limit:.3g} pp"
        case "errors" | "slow" | "control_errors" | "control_slow":
            return f"limit {100 * gate.limit:.3g} pp"
        case "latency_p99" if samples.get("canary_timed"):
            share = samples.get("canary_slow", 0.0) / samples["canary_timed"]
            return f"slow {100 * share:.2f} %, limit {100 * gate.limit:.3g} %"
        case "latency_p99":
            return f"limit {100 * gate.limit:.3g} %"
        case "sample_ratio" if "log_e" in samples:
            return f"p {math.exp(min(0.0, -samples['log_e'])):.2g}, limit {gate.limit:g}"
        case _ if gate.slices:
            of_requests = gate.slices[0].value is None
            limit = f"{100 * gate.limit:.3g} %" if of_requests else f"{gate.limit:g}"
            return f"{len(gate.slices)} slices, limit {limit}"
        case "paired" if "rank_correlation" in samples:
            return f"rank correlation {samples['rank_correlation']:.2f}, limit {gate.limit:g}"
        case "startup" if "seconds" in samples:
            return f"{samples['seconds']:.2f} s, limit {gate.limit:g} s"
        case "predictions" if samples.get("look"):
            return f"distance {samples['distance']:.3f}, limit {gate.limit:g}"
        case "quality" if samples.get("look"):
            return f"loss {samples['loss']:+.4f} ± {samples['error']:.4f}, limit {gate.limit:g}"
        case _ if "mean_excess" in samples:
            return f"worse by {samples['mean_excess']:.4g}, margin {gate.limit:g}"
        case _:
            return f"limit {gate.limit:g}"
