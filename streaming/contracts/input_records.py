"""Records of what verdicts were computed from, besides the records that they name."""

from __future__ import annotations

from typing import Literal

from streaming.contracts.base import Record, Value

RulesSubject = Literal["rollout", "windows", "quality", "blessing"]
"""What rules are about.

* ``rollout``: the rules of rollouts, their gates and the comparison of answers.
* ``windows``: contract, drift rules, tolerance and schema file that windows are judged with.
* ``quality``: the rules of realised and estimated quality.
* ``blessing``: what a trained version must reach.
"""


class RulesInForce(Record, frozen=True, kw_only=True, tag="rules-in-force"):
    """The rules that verdicts were computed with; compacted by digest, so each text stays."""

    subject: RulesSubject
    """What the rules are about."""
    digest: str
    """Digest of subject, text and code, 24 hex digits; verdicts and their inputs name it."""
    text: str
    """The rules as JSON."""
    code: str
    """Version of the code that judged: release, and digest of its sources."""


class QueryValue(Value, frozen=True, kw_only=True):
    """One look at a user's query for canary and control."""

    gate: str
    """Name of the gate."""
    at: float
    """Time of the look, seconds since 1970."""
    run: int
    """Number of the period at one weight."""
    canary: float | None = None
    """The canary's value; None where the query gave none."""
    control: float | None = None
    """The control's value; None where the query gave none."""
    problem: str = ""
    """Why there is no value; empty where the query simply returned nothing."""
    refused: bool = False
    """Whether the query itself was refused."""


class EvidenceInputs(Value, frozen=True, kw_only=True):
    """Evidence that was added to a rollout under the same rules, in this order."""

    rules_digest: str
    """Digest of the rules (`RulesInForce`) that it was added with."""
    records: tuple[str, ...] = ()
    """Ids of prediction scores and realised quality verdicts."""
    looks: tuple[QueryValue, ...] = ()
    """Looks at the users' queries."""


class RolloutInputs(Record, frozen=True, kw_only=True, tag="rollout-inputs"):
    """What one round of the daemon decided from in a rollout, so that it can be decided again.

    Each block and each piece of evidence is in one record only; `previous` leads to the earlier
    ones. Written in the same step as the records that were decided.
    """

    rollout_id: str
    """Id of the rollout; empty when none was in progress."""
    version: int
    """Version that is rolled out; 0 without a rollout."""
    decided: tuple[str, ...]
    """Ids of the verdicts, statuses, comparisons and promotions that were decided, in order.
    Empty where the record only keeps evidence."""
    previous: str = ""
    """Id of the record before it in the same rollout; empty for the first."""
    first_block: int = 0
    """Number of blocks of the rollout in the records before."""
    blocks: tuple[tuple[int, ...], ...] = ()
    """Blocks of request counts that closed since then. Each has: run, step (-1 for copies), then
    canary and control in turn: requests, errors, timed responses, slow responses; and of the stable
    arm the same four. Zeros at the end are left out."""
    slices: tuple[tuple[int, str, tuple[int, ...]], ...] = ()
    """Requests by slice: index of the block in `blocks`, the header's value, and the requests of
    canary, control and stable arm, then their errors, then their slow responses. Zeros at the end
    are left out."""
    evidence: tuple[EvidenceInputs, ...] = ()
    """Evidence besides request counts that was added since then."""
    evidence_digest: str = ""
    """Digest of all evidence besides request counts at the decision, 24 hex digits."""
    rules_digest: str
    """Digest of the rules (`RulesInForce`) that were in force."""
    state: bytes
    """What else was known: the controller's state and the observation of split and servers, as
    deflated JSON, base64 in JSON. Records inside it are named by their ids."""
