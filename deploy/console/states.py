"""How outcomes look: one of five states, each with a shape and a word, never a colour alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from deploy.config.units import format_duration

StateName = Literal["good", "warning", "bad", "unknown", "active"]

_STATES: dict[StateName, str] = {
    "good": "stable pass conforms blessed promoted initial accepted approved done yes better live "
    "referenced no-difference",
    "warning": "suspected insufficient open paused ejected refused waiting noticed superseded "
    "not-promoted before-canary before-promotion no-gain stopped rolled-back cancelled overdue",
    "bad": "drifted degraded fail error broken rejected failed expired not-blessed no worse "
    "rolling-back",
    "active": "preparing comparing awaiting-approval stepping promoting baking started scheduled "
    "running settling queued",
}
_STATE_OF: dict[str, StateName] = {
    outcome: state for state, outcomes in _STATES.items() for outcome in outcomes.split()
}
_SEVERITY: dict[StateName, int] = {"bad": 4, "warning": 3, "active": 2, "unknown": 1, "good": 0}


@dataclass(frozen=True, slots=True)
class State:
    """An outcome as it is shown."""

    name: StateName
    word: str


def state_of(outcome: str) -> State:
    """The state of an outcome; what is not known is `unknown`, never good.

    >>> state_of("drifted"), state_of("").name
    (State(name='bad', word='drifted'), 'unknown')
    """
    word = outcome.replace("-", " ") or "not judged"
    return State(_STATE_OF.get(outcome, "unknown"), word)


def worst(states: list[State]) -> State:
    """The state that needs attention first.

    >>> worst([state_of("stable"), state_of("suspected")]).word
    'suspected'
    """
    return max(states, key=lambda state: _SEVERITY[state.name], default=state_of(""))


def about(seconds: float) -> str:
    """A duration in its two largest units.

    >>> about(259_199.4), about(75.0), about(-3.0)
    ('2d 23h', '1m 15s', '0s')
    """
    return " ".join(format_duration(max(0.0, round(seconds))).split()[:2])
