"""The smallest change of a schema that would fit what lasts, for an engineer to judge.

Only a wider domain and a lower presence can be written without more knowledge. The rest is named
and left to a person: windows do not count the values of a field that no contract names, so the
type of a new column is not known; a column that is gone may be a bug of the producer.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor
from typing import Literal

from streaming.schema.findings import Finding, SchemaReport

Act = Literal["extend_domain", "relax_presence", "add_column", "deprecate", "undeprecate", "look"]

_COSTS: dict[Act, str] = {
    "extend_domain": "The live version does not know the values until it is retrained.",
    "relax_presence": "Rows without it will be served and trained on; the code must fill the gap.",
    "add_column": "Known, not used: the contract and the preprocessing must name it to use it.",
    "deprecate": "A version that uses it is served without it; mend the producer, or retrain.",
    "undeprecate": "None; or ask the producer to stop.",
    "look": "Depends on the anomaly.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change of one column."""

    act: Act
    feature: str
    safe: bool
    """Whether it only widens what the schema allows, and can be written as it is."""
    reason: str
    cost: str
    """Who is affected, and how."""
    values: tuple[str, ...] = ()
    """Values to add to the domain."""
    min_fraction: float | None = None
    """The presence to ask for from now on."""


def propose(report: SchemaReport) -> tuple[Change, ...]:
    """A change for each finding that lasts; none when nothing does, or nothing can be judged."""
    if report.outcome == "inconclusive":
        return ()
    return tuple(_change(finding) for finding in report.findings if finding.lasting)


def _change(finding: Finding) -> Change:
    match finding.kind:
        case "unseen_value":
            safe = bool(finding.values)  # a column that windows do not count names no values
            return _made("extend_domain", finding, safe=safe, values=finding.values)
        case "presence_drop":
            if finding.share is None:
                return _made("look", finding)
            # A whole per cent below what was seen, so that the next window does not complain.
            seen = max(0.0, floor((1.0 - finding.share) * 100 - 1) / 100)
            return _made("relax_presence", finding, safe=True, min_fraction=seen)
        case "new_column":
            return _made("add_column", finding)
        case "missing_column":
            return _made("deprecate", finding)
        case "deprecated_column":
            return _made("undeprecate", finding)
        case "other":
            return _made("look", finding)


def _made(
    act: Act,
    finding: Finding,
    *,
    safe: bool = False,
    values: tuple[str, ...] = (),
    min_fraction: float | None = None,
) -> Change:
    return Change(
        act=act, feature=finding.feature, safe=safe, reason=finding.reason, cost=_COSTS[act],
        values=values, min_fraction=min_fraction,
    )  # fmt: skip
