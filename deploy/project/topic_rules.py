"""By which rule a field of records becomes a feature, and as what. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

from deploy.project.column_rules import CODES, ColumnGuess
from deploy.project.topic_columns import PathColumn
from streaming.contracts.listed import joined
from streaming.contracts.mapping import FieldRule, Rule
from streaming.contracts.values import is_missing

_UNREADABLE = {
    "mixed": "values of several types",
    "object": "objects without fields of their own",
    "bytes": "bytes",
    "": "empty: no record has a value",
}
"""Kind → why its field cannot be a feature."""
MANY_VALUES_SHARE = 0.5
"""With a larger share of different values the values of lists repeat too rarely."""


@dataclass(frozen=True, slots=True)
class FeatureField:
    """A field as a feature."""

    guess: ColumnGuess
    rule: FieldRule | None = None
    """How it is read; None where it is a plain field of the outermost object with its own name."""


def field_of(column: PathColumn, guess: ColumnGuess) -> FeatureField:
    """What becomes of a field, whose cells alone would make it `guess`."""
    if column.kind in _UNREADABLE:
        return _unused(column, guess, _UNREADABLE[column.kind])
    if column.kind == "list":
        return _list(column, guess)
    if guess.use != "feature":
        return FeatureField(guess)
    match column.kind:
        case "boolean":
            return _read(column, guess, "boolean")
        case "text" if _is_decimal(column, guess):
            reason = f"text in the records; {guess.reason}"
            return _read(column, replace(guess, kind="number", reason=reason), "decimal")
        case "text" if guess.kind == "number" and len(set(column.values)) > CODES:
            reason = f"text that no rule reads as a number ({guess.reason}); send numbers"
            return _unused(column, guess, reason)
        case "text":
            return _read(column, _as_text(guess))
        case "number" if guess.kind != "number":
            reason = f"{guess.reason}; written with a point, so it is a number"
            as_number = replace(guess, kind="number", categorical=False, reason=reason)
            return _read(column, as_number)
    return _read(column, guess)


def _read(column: PathColumn, guess: ColumnGuess, rule: Rule = "value") -> FeatureField:
    needs_rule = (
        rule != "value"
        or column.nested
        or column.path != column.name
        or any(isinstance(value, Decimal) for value in column.values)
    )
    if not needs_rule:
        return FeatureField(guess)
    where = "" if column.path == column.name else f"; at {column.path}"
    how = "" if rule == "value" else f"; by the rule {rule}"
    return FeatureField(
        replace(guess, reason=f"{guess.reason}{where}{how}"),
        FieldRule(name=column.name, path=column.path, rule=rule),
    )


def _unused(column: PathColumn, guess: ColumnGuess, reason: str) -> FeatureField:
    where = "" if column.path == column.name else f" (at {column.path})"
    return FeatureField(replace(guess, use="none", reason=reason + where))


def _as_text(guess: ColumnGuess) -> ColumnGuess:
    if guess.kind == "text":
        return guess
    return replace(
        guess,
        kind="text",
        categorical=True,
        number_form=None,
        truth=None,
        reason=f"text in the records; {guess.reason}",
    )


def _is_decimal(column: PathColumn, guess: ColumnGuess) -> bool:
    """Whether all texts are numbers with a point somewhere; whole ones may be codes."""
    if guess.kind != "number" or guess.number_form != "point":
        return False
    texts = [value for value in column.values if not is_missing(value)]
    return any("." in text for text in texts) and all(is_decimal(text) for text in texts)


def is_decimal(text: str) -> bool:
    """Whether the rule `decimal` reads a text."""
    whole, _, decimals = text.removeprefix("-").partition(".")
    return whole.isdigit() and whole.isascii() and (not decimals or decimals.isdecimal())


def _list(column: PathColumn, guess: ColumnGuess) -> FeatureField:
    lists = [value for value in column.values if value is not None]
    lengths = [len(value) for value in lists]
    try:
        texts = [joined(value) for value in lists]
    except ValueError:
        return _length(column, guess, lengths, "the elements are no categories")
    names = [name for text in texts if text for name in text.split("\n")]
    distinct = len(set(names))
    if distinct < 2:
        return _length(column, guess, lengths, "its lists have no two different values")
    if distinct > MANY_VALUES_SHARE * len(names):
        return _length(column, guess, lengths, f"its {distinct} values repeat too rarely")
    examples = ", ".join(sorted(set(names))[:3])
    reason = f"lists of {distinct} categories ({examples}{', …' if distinct > 3 else ''})"
    as_list = replace(
        guess,
        use="feature",
        kind="text",
        categorical=True,
        multivalent=True,
        truth=None,
        number_form=None,
        reason=reason,
    )
    return _read(column, as_list, "categories")


def _length(column: PathColumn, guess: ColumnGuess, lengths: list[int], why: str) -> FeatureField:
    if len(set(lengths)) < 2:
        return _unused(column, guess, f"lists; {why}, and all have the same length")
    as_length = replace(
        guess,
        use="feature",
        kind="integer",
        categorical=False,
        truth=None,
        number_form=None,
        reason=f"lists of {min(lengths)} to {max(lengths)} elements; {why}",
    )
    return _read(column, as_length, "length")
