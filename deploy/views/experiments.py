"""Experiments as tables."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from deploy.config.units import format_duration, format_time
from deploy.views.output import outcome_text, table
from streaming.contracts.experiment_records import ExperimentEffect
from streaming.contracts.records import ExperimentLook, ExperimentStatus


def summary_lines(status: ExperimentStatus) -> list[str]:
    """What the experiment compares, and where it stands."""
    planned = status.definition
    lines = [
        f"experiment {planned.experiment_id} of {status.model}: {status.phase}"
        + (f", {status.outcome}" if status.outcome else ""),
        f"  {status.reason}",
        f"  {planned.metric} by user ({planned.user_header}), smallest effect "
        f"{planned.minimum_effect:g}, {100 * (1 - planned.alpha):g} % intervals at every look",
        f"  from {format_time(planned.begin)} to {format_time(planned.end)}"
        + (f"; users met their arms from {format_time(status.started_at)}"
           if status.started_at is not None else "")
        + (f" to {format_time(status.stopped_at)}" if status.stopped_at is not None else ""),
    ]  # fmt: skip
    if status.ends_at is not None:
        lines.append(f"  {status.phase} ends by itself at {format_time(status.ends_at)}")
    return lines


def arms_table(status: ExperimentStatus, look: ExperimentLook | None) -> Table:
    """Each arm with its users and its effect."""
    shown = table(
        "arms",
        "arm", ">version", ">share", ">users", ">counted", ">unlabelled", ">better by", ">from",
        ">to", "outcome",
    )  # fmt: skip
    effects = {effect.arm: effect for effect in status.effects}
    if look is not None:
        effects |= {effect.arm: effect for effect in look.effects}
    counted = {arm.arm: arm for arm in look.counts.arms} if look and look.counts else {}
    for arm in status.definition.arms:
        counts, effect = counted.get(arm.name), effects.get(arm.name)
        outcome = "taken out" if arm.name in status.dropped else effect.outcome if effect else ""
        shown.add_row(
            arm.name,
            str(arm.version),
            f"{arm.share / 100:g} %",
            *(
                str(number) if counts is not None else "–"
                for number in (
                    (counts.users, counts.counted, counts.unlabelled) if counts else (0, 0, 0)
                )
            ),
            *_interval(effect),
            outcome_text(outcome) if outcome else "–",
        )
    return shown


def _interval(effect: ExperimentEffect | None) -> tuple[str, str, str]:
    if effect is None or effect.low is None or effect.high is None:
        return ("–", "–", "–")
    return (f"{effect.difference:+.4f}", f"{effect.low:+.4f}", f"{effect.high:+.4f}")


def gates_table(look: ExperimentLook) -> Table:
    """The checks of the latest look."""
    shown = table("checks of the latest look", "check", "outcome", "reason")
    for gate in look.gates:
        shown.add_row(gate.gate, outcome_text(gate.outcome), gate.reason)
    return shown


def experiments_table(model: str, statuses: Sequence[ExperimentStatus]) -> Table:
    """All experiments of a model, oldest first."""
    shown = table(
        f"experiments of {model}",
        "id", "phase", "outcome", "versions", "metric", "from", "for", "reason",
    )  # fmt: skip
    for status in statuses:
        planned = status.definition
        versions = " : ".join(str(arm.version) for arm in planned.arms)
        shown.add_row(
            planned.experiment_id,
            status.phase,
            outcome_text(status.outcome) if status.outcome else "–",
            versions,
            planned.metric,
            format_time(planned.begin),
            format_duration(planned.end - planned.begin),
            status.reason,
        )
    return shown
