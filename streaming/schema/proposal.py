"""Proposes the smallest change of a schema that would end its sustained findings.

Only a change that widens the schema can be written automatically: a larger domain, a lower
presence, a new optional column whose type was seen. A new field of any other kind (boolean, list,
object, mixed, always null) cannot be a feature; it is written as known and ignored. All other
changes are named and left to an engineer: a column that is gone or has another type may be a fault
of the producer, and skew cannot be solved in the schema.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import floor

from streaming.contracts.records import SchemaAct, SchemaChange, SchemaFinding, SchemaVerdict

_COSTS: dict[SchemaAct, str] = {
    "extend_domain": "The live version does not know the values until it is retrained.",
    "relax_presence": "Rows without it will be served and trained on; the code must handle the "
    "missing values.",
    "add_column": "Known but not used: the contract and the preprocessing must name it to use it.",
    "ignore_column": "Known and ignored for good: its values are no integer, number or text, so it "
    "cannot be a feature as it is sent.",
    "deprecate": "A version that uses it is served without it; fix the producer, or retrain.",
    "undeprecate": "None; alternatively, the producer stops sending it.",
    "retype": "Its events are dead letters; fix the producer, or change contract and code.",
    "inspect": "Depends on the anomaly.",
}
TYPES = frozenset({"integer", "number", "text"})
"""Types that a column can have."""


def propose(verdict: SchemaVerdict) -> tuple[SchemaChange, ...]:
    """A change for each sustained finding; empty when there is none, or nothing can be judged."""
    if verdict.outcome == "inconclusive":
        return ()
    return tuple(
        _change_for(finding)
        for finding in verdict.findings
        if finding.outcome != "noticed" and finding.kind != "skew"
    )


def covers(proposed: Sequence[SchemaChange], required: Sequence[SchemaChange]) -> bool:
    """Whether the changes `proposed` include everything in the changes `required`.

    >>> from msgspec.structs import replace
    >>> both = SchemaChange(act="extend_domain", feature="a", safe=True, reason="", cost="",
    ...     values=("x", "y"))
    >>> covers([both], [replace(both, values=("y",))]), covers([replace(both, values=())], [both])
    (True, False)
    """
    by_column = {(change.act, change.feature): change for change in proposed}
    return all(
        _is_covered(by_column.get((change.act, change.feature)), change) for change in required
    )


def _is_covered(proposed: SchemaChange | None, required: SchemaChange) -> bool:
    if proposed is None or required.type != proposed.type:
        return False
    is_as_low = (proposed.min_fraction or 0.0) <= (required.min_fraction or 0.0)
    return is_as_low and set(required.values) <= set(proposed.values)


def _change_for(finding: SchemaFinding) -> SchemaChange:
    match finding.kind:
        case "unseen_value":
            safe = bool(finding.values)  # a column that windows do not count names no values
            return _change("extend_domain", finding, safe=safe, values=finding.values)
        case "presence_drop":
            if finding.value is None:
                return _change("inspect", finding)
            # A whole per cent below the observed presence, so that the next window conforms.
            presence = max(0.0, floor((1.0 - finding.value) * 100 - 1) / 100)
            return _change("relax_presence", finding, safe=True, min_fraction=presence)
        case "new_column":
            column_type = _common_type(finding.values)
            if column_type:
                return _change("add_column", finding, safe=bool(finding.feature), type=column_type)
            return _change("ignore_column", finding, safe=bool(finding.feature))
        case "missing_column":
            return _change("deprecate", finding)
        case "deprecated_column":
            return _change("undeprecate", finding)
        case "type_change":
            return _change("retype", finding)
        case _:
            return _change("inspect", finding)


def _common_type(value_kinds: Sequence[str]) -> str:
    """The type that fits all values; empty when they differ, or fit no column.

    >>> _common_type(["integer", "number"]), _common_type(["text", "number"])
    ('number', '')
    >>> _common_type(["list"])
    ''
    """
    types = set(value_kinds)
    if types == {"integer", "number"}:
        return "number"
    return types.pop() if len(types) == 1 and types <= TYPES else ""


def _change(
    act: SchemaAct,
    finding: SchemaFinding,
    *,
    safe: bool = False,
    values: tuple[str, ...] = (),
    min_fraction: float | None = None,
    type: str = "",
) -> SchemaChange:
    return SchemaChange(
        act=act, feature=finding.feature, safe=safe, reason=finding.reason, cost=_COSTS[act],
        values=values, min_fraction=min_fraction, type=type,
    )  # fmt: skip
