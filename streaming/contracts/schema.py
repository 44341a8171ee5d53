"""Records of a schema's life: what windows say against it, what is proposed, what was accepted."""

from __future__ import annotations

from typing import Literal

from streaming.contracts.base import Record, Value

SchemaKind = Literal[
    "new_column",
    "missing_column",
    "presence_drop",
    "unseen_value",
    "type_change",
    "deprecated_column",
    "skew",
    "other",
]
SchemaOutcome = Literal["conforms", "suspected", "broken", "inconclusive"]
SchemaAct = Literal[
    "extend_domain", "relax_presence", "add_column", "deprecate", "undeprecate", "retype", "look"
]
ProposalState = Literal["open", "accepted", "rejected", "superseded"]


class SchemaFinding(Value, frozen=True, kw_only=True):
    """One disagreement of one column with the schema."""

    kind: SchemaKind
    feature: str
    outcome: Literal["noticed", "suspected", "broken"]
    """Noticed: in a window, not (yet) in enough of them."""
    reason: str
    value: float | None = None
    """Share of the rows that disagree (skew: effect in standard deviations); None where windows
    do not count it."""
    limit: float | None = None
    """The share (effect) that is allowed."""
    n: int = 0
    """Rows behind `value`, of the newest window that has it."""
    hits: int = 1
    """Windows of the last `of` that have it."""
    of: int = 5
    since: float = 0.0
    """Start of the first of those windows."""
    values: tuple[str, ...] = ()
    """Values outside the domain, or the types found; most frequent first, bounded and cut."""


class SchemaVerdict(Record, frozen=True, kw_only=True, tag="schema-verdict"):
    """The judgement of one window against the schema version that was current."""

    window_start: float
    window_end: float
    outcome: SchemaOutcome
    reason: str
    rows: int
    schema_version: int
    """0: the model's own file, before any version was published."""
    schema_digest: str
    findings: tuple[SchemaFinding, ...]


class SchemaChange(Value, frozen=True, kw_only=True):
    """One change of one column."""

    act: SchemaAct
    feature: str
    safe: bool
    """Whether it only widens what the schema allows, and can be written as it is."""
    reason: str
    cost: str
    """What it means for those who use the column."""
    values: tuple[str, ...] = ()
    """Values to add to the domain."""
    min_fraction: float | None = None
    """The presence to ask for from now on."""
    type: str = ""
    """Of a new column: integer, number or text."""


class SchemaProposal(Record, frozen=True, kw_only=True, tag="schema-proposal"):
    """A change of the schema for an engineer to judge. Compacted by proposal."""

    proposal_id: str
    state: ProposalState
    base_version: int
    base_digest: str
    """Of the schema it changes; it can only be accepted while that one is current."""
    digest: str
    text: str
    """The schema as it would be (text proto)."""
    diff: str
    changes: tuple[SchemaChange, ...]
    affects: tuple[str, ...]
    """Who is affected and how, one sentence each."""
    evidence: tuple[SchemaFinding, ...]
    reason: str
    """Why it was made; once decided, why it was decided so."""
    decided_by: str = ""


class SchemaVersion(Record, frozen=True, kw_only=True, tag="schema-version"):
    """A schema in force from `at` on. Compacted by version; the highest one is current."""

    version: int
    digest: str
    """SHA-256 of `text` as UTF-8."""
    text: str
    accepted_by: str
    reason: str
    parent: int
    """The version it changed; 0 for the first."""
    proposal_id: str = ""
    """Empty: taken from the model's file."""
