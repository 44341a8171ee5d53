"""The smallest change of a schema that would fit what lasts, for an engineer to judge.

Written by itself is only what widens the schema: a larger domain, a lower presence, a new optional
column whose type was seen. The rest is named and left to a person: a column that is gone or has
another type may be a bug of the producer, and skew is never a matter of the schema.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import floor

from streaming.contracts.records import SchemaAct, SchemaChange, SchemaFinding, SchemaVerdict

_COSTS: dict[SchemaAct, str] = {
    "extend_domain": "The live version does not know the values until it is retrained.",
    "relax_presence": "Rows without it will be served and trained on; the code must fill the gap.",
    "add_column": "Known, not used: the contract and the preprocessing must name it to use it.",
    "deprecate": "A version that uses it is served without it; mend the producer, or retrain.",
    "undeprecate": "None; or ask the producer to stop.",
    "retype": "Its events are dead letters; mend the producer, or change contract and code.",
    "look": "Depends on the anomaly.",
}
TYPES = frozenset({"integer", "number", "text"})
"""Kinds of a value that a column can have."""


def propose(verdict: SchemaVerdict) -> tuple[SchemaChange, ...]:
    """A change for each finding that lasts; none when nothing does, or nothing can be judged."""
    if verdict.outcome == "inconclusive":
        return ()
    lasting = [one for one in verdict.findings if one.outcome != "noticed" and one.kind != "skew"]
    return tuple(_change(finding) for finding in lasting)


def covers(offered: Sequence[SchemaChange], wanted: Sequence[SchemaChange]) -> bool:
    """Whether `offered` already does all that `wanted` asks for.

    >>> from msgspec.structs import replace
    >>> one = SchemaChange(act="extend_domain", feature="a", safe=True, reason="", cost="",
    ...     values=("x", "y"))
    >>> covers([one], [replace(one, values=("y",))]), covers([replace(one, values=())], [one])
    (True, False)
    """
    have = {(one.act, one.feature): one for one in offered}
    return all(_covered(have.get((one.act, one.feature)), one) for one in wanted)


def _covered(have: SchemaChange | None, wanted: SchemaChange) -> bool:
    if have is None or wanted.type != have.type:
        return False
    lower = (have.min_fraction or 0.0) <= (wanted.min_fraction or 0.0)
    return lower and set(wanted.values) <= set(have.values)


def _change(finding: SchemaFinding) -> SchemaChange:
    match finding.kind:
        case "unseen_value":
            safe = bool(finding.values)  # a column that windows do not count names no values
            return _made("extend_domain", finding, safe=safe, values=finding.values)
        case "presence_drop":
            if finding.value is None:
                return _made("look", finding)
            # A whole per cent below what was seen, so that the next window does not complain.
            seen = max(0.0, floor((1.0 - finding.value) * 100 - 1) / 100)
            return _made("relax_presence", finding, safe=True, min_fraction=seen)
        case "new_column":
            kind = _one_type(finding.values)
            return _made("add_column", finding, safe=bool(kind), type=kind)
        case "missing_column":
            return _made("deprecate", finding)
        case "deprecated_column":
            return _made("undeprecate", finding)
        case "type_change":
            return _made("retype", finding)
        case _:
            return _made("look", finding)


def _one_type(found: Sequence[str]) -> str:
    """The type that all values fit; empty when they do not agree, or fit no column.

    >>> _one_type(["integer", "number"]), _one_type(["text", "number"]), _one_type(["list"])
    ('number', '', '')
    """
    types = set(found)
    if types == {"integer", "number"}:
        return "number"
    return types.pop() if len(types) == 1 and types <= TYPES else ""


def _made(
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
