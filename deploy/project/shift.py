"""A shift that a replay puts on a column: `fee=*1.5`, `age=+10`, `plan=basic`. Pure.

`COLUMN=missing` takes every value away. A number is multiplied or raised; any other text after the
equals sign takes the place of every value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from deploy.project.values import Value
from streaming.contracts.errors import ConfigurationError
from streaming.contracts.model import FeatureSpec

MISSING = "missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """What happens to the values of one feature."""

    feature: FeatureSpec
    factor: float = 1.0
    """A number is multiplied by this, before `added` is added."""
    added: float = 0.0
    constant: Value = None
    """Takes the place of every value."""
    removed: bool = False
    """Every value becomes missing."""

    def apply(self, value: Value) -> Value:
        """The shifted value; a missing one stays missing unless a constant takes its place.

        >>> fee = FeatureSpec(name="fee", kind="number")
        >>> Shift(feature=fee, factor=1.5).apply(4.0), Shift(feature=fee, removed=True).apply(4.0)
        (6.0, None)
        """
        if self.removed:
            return None
        if self.constant is not None:
            return self.constant
        if value is None or isinstance(value, str):
            return value
        shifted = value * self.factor + self.added
        return round(shifted) if self.feature.kind == "integer" else shifted


def parse_shifts(texts: Iterable[str], features: Iterable[FeatureSpec]) -> dict[str, Shift]:
    """The shifts by feature.

    Raises
    ------
    ConfigurationError
        With everything that is wrong with them.
    """
    known = {feature.name: feature for feature in features}
    shifts: dict[str, Shift] = {}
    problems: list[str] = []
    for text in texts:
        name, equals, change = text.partition("=")
        feature = known.get(name)
        if not equals or not change:
            problems.append(f"{text!r} is no shift; write COLUMN=*1.5, COLUMN=+10 or COLUMN=VALUE.")
        elif feature is None:
            problems.append(f"The model has no feature {name!r}; it has {', '.join(known)}.")
        elif (shift := _shift(feature, change)) is None:
            problems.append(f"{text!r}: {name} holds {feature.kind}s; {change!r} is none.")
        else:
            shifts[name] = shift
    if problems:
        raise ConfigurationError(" ".join(problems))
    return shifts


def _shift(feature: FeatureSpec, change: str) -> Shift | None:
    if change == MISSING:
        return Shift(feature=feature, removed=True)
    if feature.kind == "text":
        return Shift(feature=feature, constant=change)
    number = _number(change.lstrip("*"))
    if number is None:
        return None
    if change[0] == "*":
        return Shift(feature=feature, factor=number)
    if change[0] in "+-":
        return Shift(feature=feature, added=number)
    whole = feature.kind == "integer"
    return Shift(feature=feature, constant=round(number) if whole else number)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if abs(number) < float("inf") else None


def shifted(values: Mapping[str, Value], shifts: Mapping[str, Shift]) -> dict[str, Value]:
    """The row with its shifts."""
    return {
        name: shifts[name].apply(value) if name in shifts else value
        for name, value in values.items()
    }
