"""The experiments of a model: arms, users, effects with intervals, guardrails, sample ratio."""

from __future__ import annotations

from dataclasses import dataclass, replace

from deploy.console import why
from deploy.console.context import Console
from deploy.console.picture_kinds import experiment_of
from deploy.console.pictures import Picture, picture
from deploy.console.schedule_page import experiments_of
from deploy.console.states import State, state_of
from deploy.console.why import Why
from streaming.contracts.errors import NotFoundError
from streaming.contracts.experiment_records import ExperimentEffect
from streaming.contracts.records import (
    ExperimentLook,
    ExperimentStatus,
    ModelVersion,
    Promotion,
)

OFFERED = 20
"""Newest versions among which an experiment can be started by its form."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmLine:
    """An arm with its users and its effect; empty texts were not measured."""

    name: str
    version: int
    share: str
    users: int | None
    expected: int | None
    """Users that the planned shares give of all users of the arms."""
    counted: int | None
    unlabelled: int | None
    crossed: int | None
    """Predictions that another version answered."""
    effect: str
    interval: str
    state: State
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentPage:
    """One experiment of a model, and the list of all."""

    model: str
    all: tuple[ExperimentStatus, ...]
    """Newest first."""
    status: ExperimentStatus | None
    """The one that is shown; None when the model has none."""
    state: State
    look: ExperimentLook | None
    arms: tuple[ArmLine, ...]
    gates: tuple[Why, ...]
    """Sample ratio, assignment and guardrails."""
    picture: Picture | None
    next_text: str
    command: str
    startable: tuple[ModelVersion, ...] = ()
    """Versions that an experiment can compare with the live one, newest first."""

    @property
    def running(self) -> bool:
        """Whether the experiment that is shown has not ended."""
        return self.status is not None and self.status.phase != "ended"

    @property
    def wrong(self) -> tuple[Why, ...]:
        """The checks that failed."""
        return tuple(gate for gate in self.gates if gate.state.name == "bad")


def experiment_page(console: Console, model: str, experiment_id: str = "") -> ExperimentPage:
    """Gather an experiment; the newest one where none is named.

    Raises
    ------
    NotFoundError
        When there is no such model or experiment.
    """
    if model not in console.models:
        raise NotFoundError(f"{console.file} has no model {model}.")
    known = tuple(experiments_of(console, model))
    chosen = experiment_id or (known[0].definition.experiment_id if known else "")
    if not chosen:
        return ExperimentPage(
            model=model, all=(), status=None, state=state_of(""), look=None, arms=(), gates=(),
            picture=None, next_text="To compare two versions by user:",
            command=f"driftline experiment start {model} --arm VERSION=20 --for 7d",
            startable=_startable(console, model),
        )  # fmt: skip
    status, looks = experiment_of(console.reader, model, chosen)
    look = looks[-1] if looks else None
    text, command = _next(status)
    return ExperimentPage(
        model=model,
        all=known,
        status=status,
        state=state_of(status.outcome or status.phase),
        look=look,
        arms=_arms(status, look),
        gates=tuple(_gate(entry, model) for entry in (look.gates if look else ())),
        picture=picture(console.reader, "experiment", model, chosen),
        next_text=text,
        command=command,
        startable=_startable(console, model) if known[0].phase == "ended" else (),
    )


def _startable(console: Console, model: str) -> tuple[ModelVersion, ...]:
    """Blessed versions that are not live; none while no version is."""
    live = console.reader.newest_record(Promotion, model)
    if live is None:
        return ()
    versions = console.reader.records(ModelVersion, model, OFFERED)
    return tuple(
        version
        for version in reversed(versions)
        if version.blessed and version.version != live.version
    )


def _gate(gate: object, model: str) -> Why:
    from streaming.contracts.records import GateResult

    assert isinstance(gate, GateResult)
    shown = why.of_gate(gate, model)
    command = f"driftline experiment status {model}" if shown.command else ""
    missing = shown.missing.replace("requests per arm", "observations per arm")
    return replace(shown, command=command, missing=missing)


def _arms(status: ExperimentStatus, look: ExperimentLook | None) -> tuple[ArmLine, ...]:
    effects = {effect.arm: effect for effect in (look or status).effects}
    counts = {arm.arm: arm for arm in look.counts.arms} if look and look.counts else {}
    shares = sum(arm.share for arm in status.definition.arms)
    users = sum(arm.users for arm in counts.values())
    lines: list[ArmLine] = []
    for arm in status.definition.arms:
        counted, effect = counts.get(arm.name), effects.get(arm.name)
        measured = effect is not None and effect.low is not None and effect.high is not None
        dropped = arm.name in status.dropped
        lines.append(
            ArmLine(
                name=arm.name,
                version=arm.version,
                share=f"{arm.share / 100:g} %",
                users=counted.users if counted else None,
                expected=round(users * arm.share / shares) if counted and shares else None,
                counted=counted.counted if counted else None,
                unlabelled=counted.unlabelled if counted else None,
                crossed=counted.crossed if counted else None,
                effect=f"{effect.difference:+.4f}" if effect and measured else "",
                interval=f"{effect.low:+.4f} to {effect.high:+.4f}" if effect and measured else "",
                state=state_of("stopped") if dropped else _state(effect),
                reason="Taken out; its users meet the champion."
                if dropped
                else effect.reason
                if effect
                else "The others are compared with it."
                if not lines
                else "Nothing is counted yet.",
            )
        )
    return tuple(lines)


def _state(effect: ExperimentEffect | None) -> State:
    """What the interval of an arm proves."""
    if effect is None or effect.outcome:
        return state_of(effect.outcome if effect else "")
    return State("active", "undecided")


def _next(status: ExperimentStatus) -> tuple[str, str]:
    """What a person can do now, and the command."""
    model = status.model
    if status.phase != "ended":
        return (
            "It goes on by itself. To send its users back to the live version at once:",
            f'driftline experiment stop {model} --reason "…"',
        )
    if status.winner:
        return (
            f"Version {status.winner} won; a rollout has to bring it:",
            f"driftline rollout retry {model} --version {status.winner}",
        )
    return (
        "The live version stays. Another comparison:",
        f"driftline experiment start {model} --arm VERSION=20 --for 7d",
    )
