"""Records of a model's schema: verdicts on windows, proposed changes, and published versions."""

from __future__ import annotations

from typing import Literal

from streaming.contracts.base import Record, Value

SchemaKind = Literal[
    "new_column",
    "missing_column",
    "presence_drop",
    "unseen_value",
    "type_change",
    "out_of_domain",
    "deprecated_column",
    "skew",
    "other",
]
SchemaOutcome = Literal["conforms", "suspected", "broken", "inconclusive"]
SchemaAct = Literal[
    "extend_domain",
    "relax_presence",
    "add_column",
    "ignore_column",
    "deprecate",
    "undeprecate",
    "retype",
    "inspect",
]
ProposalState = Literal["open", "accepted", "rejected", "superseded"]


class SchemaFinding(Value, frozen=True, kw_only=True):
    """One disagreement of one column with the schema."""

    kind: SchemaKind
    feature: str
    outcome: Literal["noticed", "suspected", "broken"]
    """noticed: in a window, but not (yet) in enough of them; suspected: in enough windows; broken:
    in enough windows, and no retrain starts on such data (`contracts.tolerance`)."""
    reason: str
    value: float | None = None
    """Share of the rows that disagree (skew: effect in standard deviations); None where windows
    do not count it."""
    limit: float | None = None
    """The share (skew: the effect) that is allowed."""
    n: int = 0
    """Rows behind `value`, of the newest window that has the finding."""
    hits: int = 1
    """Windows among the last `of` that have the finding."""
    of: int = 5
    """Number of latest windows that `hits` refers to."""
    since: float = 0.0
    """Start of the first of those windows."""
    values: tuple[str, ...] = ()
    """Values outside the domain, or the types that were sent; most frequent first, limited in
    number and length."""


class SchemaVerdict(Record, frozen=True, kw_only=True, tag="schema-verdict"):
    """The verdict on one window against the schema version that was current."""

    window_start: float
    window_end: float
    outcome: SchemaOutcome
    reason: str
    rows: int
    schema_version: int
    """Version of the schema; 0 is the model's own file, before any version was published."""
    schema_digest: str
    findings: tuple[SchemaFinding, ...]


class SchemaChange(Value, frozen=True, kw_only=True):
    """One proposed change of one column."""

    act: SchemaAct
    feature: str
    safe: bool
    """Whether the change only widens the schema, so it can be written automatically."""
    reason: str
    cost: str
    """Consequence for the users of the column."""
    values: tuple[str, ...] = ()
    """Values to add to the domain."""
    min_fraction: float | None = None
    """New smallest share of rows that must have a value."""
    type: str = ""
    """Type of a new column: integer, number or text."""


class SchemaProposal(Record, frozen=True, kw_only=True, tag="schema-proposal"):
    """A proposed schema change that an engineer accepts or rejects. Compacted by proposal."""

    proposal_id: str
    state: ProposalState
    base_version: int
    """Version of the schema that the proposal changes."""
    base_digest: str
    """Digest of that schema; the proposal can be accepted only while it is current."""
    digest: str
    """Digest of `text`."""
    text: str
    """The changed schema (text proto)."""
    diff: str
    changes: tuple[SchemaChange, ...]
    affects: tuple[str, ...]
    """Who is affected and how, one sentence each."""
    evidence: tuple[SchemaFinding, ...]
    reason: str
    """Why the proposal was made; once decided, why it was decided so."""
    decided_by: str = ""
    """Who decided it; empty while it is open."""


class SchemaVersion(Record, frozen=True, kw_only=True, tag="schema-version"):
    """A schema that is current from `at` on. Compacted by version; the highest one is current."""

    version: int
    digest: str
    """SHA-256 of `text` as UTF-8."""
    text: str
    accepted_by: str
    reason: str
    parent: int
    """The version it changed; 0 for the first."""
    proposal_id: str = ""
    """Id of the accepted proposal; empty when the version comes from the model's file."""
