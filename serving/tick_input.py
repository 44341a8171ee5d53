"""What one tick works on, and the change that a phase makes."""

from __future__ import annotations

from dataclasses import dataclass

from serving.ports import Observation
from serving.rules import RolloutRules
from serving.state import RolloutState
from streaming.contracts.records import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class TickInput:
    """The inputs of one tick besides the state."""

    observed: Observation
    rules: RolloutRules
    now: float


Change = tuple[RolloutState, list[Record]]
"""The state after the change, and its records."""
