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
"""Kind of a schema finding.

* ``new_column``: a column that the schema does not have.
* ``missing_column``: a column without any value, or events without a required field.
* ``presence_drop``: more rows without a value than the schema allows.
* ``unseen_value``: more values outside the column's domain than the schema allows.
* ``type_change``: events in which the field holds another type.
* ``out_of_domain``: numbers below or above the column's domain.
* ``deprecated_column``: a deprecated column that is still sent.
* ``skew``: served values that have differed from the training data since the version went live.
* ``other``: any other anomaly of TFDV.
"""
SchemaOutcome = Literal["conforms", "suspected", "broken", "inconclusive"]
"""Outcome of a schema verdict.

* ``conforms``: no finding in enough of the latest windows.
* ``suspected``: a finding in enough of them.
* ``broken``: no retrain starts on such data (`contracts.tolerance`).
* ``inconclusive``: too few rows or too many dead letters to judge.
"""
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
"""What a schema change does to its column.

* ``extend_domain``: adds values to the domain.
* ``relax_presence``: lowers the share of rows that must have a value.
* ``add_column``: adds an optional column.
* ``ignore_column``: marks a new column as known and ignored.
* ``deprecate``: marks the column as no longer expected.
* ``undeprecate``: expects a deprecated column again.
* ``retype``: gives the column another type.
* ``inspect``: no definite change; an engineer has to look at the column.
"""
ProposalState = Literal["open", "accepted", "rejected", "superseded"]
"""State of a schema proposal.

* ``open``: it awaits a decision.
* ``accepted``: it became a schema version.
* ``rejected``: it was rejected; the same changes are not proposed again for this schema.
* ``superseded``: a larger proposal or a new schema file has replaced it.
"""


class SchemaFinding(Value, frozen=True, kw_only=True):
    """One disagreement of one column with the schema."""

    kind: SchemaKind
    """Kind of the disagreement."""
    feature: str
    """Name of the column."""
    outcome: Literal["noticed", "suspected", "broken"]
    """noticed: in a window, but not (yet) in enough of them; suspected: in enough windows; broken:
    no retrain starts on such data (`contracts.tolerance`)."""
    reason: str
    """What disagrees in the newest of these windows, with share and limit."""
    value: float | None = None
    """Share of the rows or events that disagree (skew: effect in standard deviations); None where
    windows do not count it."""
    limit: float | None = None
    """The share (skew: the effect) that is allowed; None where windows do not count it."""
    n: int = 0
    """Rows or events behind `value`, of the newest window that has the finding; 0 where windows do
    not count it."""
    hits: int = 1
    """Number of the last `of` windows that have the finding."""
    of: int = 5
    """Number of latest windows that `hits` refers to."""
    since: float = 0.0
    """Start of the first of those windows; for skew, of the newest one. Seconds since 1970."""
    values: tuple[str, ...] = ()
    """Values outside the domain, or the types that were sent; those of the newest window first,
    limited in number and length. Empty for other kinds."""


class SchemaVerdict(Record, frozen=True, kw_only=True, tag="schema-verdict"):
    """The verdict on one window against the schema version that was current."""

    window_start: float
    """Start of the window in event time (inclusive), seconds since 1970."""
    window_end: float
    """End of the window in event time (exclusive), seconds since 1970."""
    outcome: SchemaOutcome
    """Outcome over the latest windows."""
    reason: str
    """The worst finding and the number of further ones, or why the window was not judged."""
    rows: int
    """Number of accepted rows of the window."""
    schema_version: int
    """Version of the schema; 0 is the model's own file, before any version was published."""
    schema_digest: str
    """SHA-256 of the schema's text, in hex."""
    findings: tuple[SchemaFinding, ...]
    """Findings of the latest windows, the noticed ones too; empty when there are none."""
    rules_digest: str = ""
    """Digest of the rules (`RulesInForce`) that it was computed with; empty in old records."""
    history_digest: str = ""
    """Digest of what was remembered of earlier windows; empty in old records."""


class SchemaChange(Value, frozen=True, kw_only=True):
    """One proposed change of one column."""

    act: SchemaAct
    """What the change does to the column."""
    feature: str
    """Name of the column."""
    safe: bool
    """Whether the change only widens the schema, so it can be written automatically."""
    reason: str
    """The finding behind the change, in words."""
    cost: str
    """Consequence for the users of the column."""
    values: tuple[str, ...] = ()
    """Values to add to the domain; empty for other changes."""
    min_fraction: float | None = None
    """New smallest share of rows that must have a value; None for other changes."""
    type: str = ""
    """Type of a new column: integer, number or text. Empty for other changes, and where the values
    fit none of them."""


class SchemaProposal(Record, frozen=True, kw_only=True, tag="schema-proposal"):
    """A proposed schema change that an engineer accepts or rejects. Compacted by proposal."""

    proposal_id: str
    """Digest of the schema and its proposed changes, 12 hex digits."""
    state: ProposalState
    """Whether it awaits a decision, or how it was decided."""
    base_version: int
    """Version of the schema that the proposal changes."""
    base_digest: str
    """Digest of that schema; the proposal can be accepted only while it is current."""
    digest: str
    """Digest of `text`."""
    text: str
    """The schema with the safe changes applied (text proto); unchanged where none is safe."""
    diff: str
    """Unified diff of the safe changes; empty where none is safe."""
    changes: tuple[SchemaChange, ...]
    """The proposed changes, safe or not."""
    affects: tuple[str, ...]
    """Who is affected and how, one sentence each."""
    evidence: tuple[SchemaFinding, ...]
    """The findings of the verdict that led to the proposal, without the merely noticed ones."""
    reason: str
    """Why the proposal was made; once decided, why it was decided so."""
    decided_by: str = ""
    """Who decided it; empty while it is open."""


class SchemaVersion(Record, frozen=True, kw_only=True, tag="schema-version"):
    """A schema that is current from `at` on. Compacted by version; the highest one is current."""

    version: int
    """Number of the version, from 1."""
    digest: str
    """SHA-256 of `text` as UTF-8, in hex."""
    text: str
    """The schema (text proto)."""
    accepted_by: str
    """Who accepted it; ``the model's file`` when it comes from there."""
    reason: str
    """Why it was accepted."""
    parent: int
    """The version it changed; 0 for the first."""
    proposal_id: str = ""
    """Id of the accepted proposal; empty when the version comes from the model's file."""
