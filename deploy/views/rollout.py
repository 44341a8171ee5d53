"""A rollout as a tree: step, weight set and measured, each arm's version and health, each gate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.text import Text
from rich.tree import Tree

from deploy.records.describe import describe
from deploy.views.output import format_time, outcome_text
from serving.state import Phase
from streaming.contracts.records import CanaryVerdict, GateResult, RolloutStatus


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
    tree = Tree(f"{status.model}: {describe(status)}")
    tree.add(f"since {format_time(status.at)}, step {status.step}, weight set {status.weight} %")
    if status.waits_for:
        tree.add(Text(f"waits for {status.waits_for}", style="yellow"))
    if view.arms:
        branch = tree.add("arms")
        for arm in view.arms:
            branch.add(_arm_text(arm))
    if view.verdict is not None:
        branch = tree.add(_verdict_text(view.verdict))
        for gate in view.verdict.gates:
            branch.add(_gate_text(gate))
    for problem in view.problems:
        tree.add(Text(problem, style="yellow"))
    return tree


def rollout_lines(view: RolloutView) -> Iterator[str]:
    """The rollout as lines, of which `--watch` prints the changed ones off a terminal."""
    status = view.status
    yield f"{status.model}: {describe(status)}"
    if status.waits_for:
        yield f"waits for {status.waits_for}"
    for arm in view.arms:
        yield f"{arm.role}: version {arm.version}, {arm.health}"
    if view.verdict is not None:
        verdict = view.verdict
        yield f"step {verdict.step} at {verdict.weight} %: {verdict.outcome}"
        for gate in verdict.gates:
            yield f"gate {gate.gate}: {gate.outcome}"


def _arm_text(arm: ArmView) -> Text:
    weight = "–" if arm.weight is None else f"{arm.weight} %"
    measured = "–" if arm.measured is None else f"{arm.measured:.1f} %"
    text = Text(f"{arm.role}: version {arm.version}, ")
    text.append_text(outcome_text(arm.health))
    return text.append(f", weight {weight}, measured {measured}")


def _verdict_text(verdict: CanaryVerdict) -> Text:
    text = Text(f"gates at step {verdict.step} ({verdict.weight} %): ")
    text.append_text(outcome_text(verdict.outcome))
    return text.append(f", {verdict.requests} requests in {verdict.seconds_in_step:.0f} s")


def _gate_text(gate: GateResult) -> Text:
    text = Text(f"{gate.gate}: ")
    text.append_text(outcome_text(gate.outcome))
    missing = f", {gate.missing} requests missing" if gate.missing else ""
    values = f"{_values(gate)}, " if gate.samples else ""
    return text.append(f", {values}limit {gate.limit:g}, n {gate.n}{missing}: {gate.reason}")


def _values(gate: GateResult) -> str:
    return " ".join(f"{sample.name} {sample.value:.4g}" for sample in gate.samples) or "–"
