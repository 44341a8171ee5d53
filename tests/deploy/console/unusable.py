"""Records on what could not be used as it came: dead letters, and a proposal for the schema."""

from __future__ import annotations

from streaming.contracts.records import DeadLetter, Record, SchemaChange, SchemaProposal
from tests.deploy.console.scenario import MODEL

DETAILS = (
    ("unreadable", "The payload is no JSON object.", ""),
    ("wrong-type", "fare is 'twelve', where a number is expected.", "fare"),
    ("wrong-type", "fare is 'nine', where a number is expected.", "fare"),
    ("late", "It came 40 s after its window had been judged.", ""),
)
"""Reason, what was wrong, and the field that caused it."""


def dead_letters(now: float) -> list[Record]:
    """One for each of `DETAILS`."""
    return [
        DeadLetter(
            record_id=f"dead-letter-{number}", model=MODEL, at=now - 50 + 10 * number,
            topic="taxi.trips", partition=0, offset=4_100 + number, reason=reason, detail=detail,
            field=field, payload=b"{", payload_bytes=1,
        )
        for number, (reason, detail, field) in enumerate(DETAILS)
    ]  # fmt: skip


def proposal(now: float) -> SchemaProposal:
    """A new value of a category, which an engineer may accept."""
    change = SchemaChange(
        act="extend_domain", feature="payment_type", safe=True, values=("Mobile",),
        reason="'Mobile' has 3.1 % of the rows of the last 5 windows.",
        cost="The live version takes it for an unseen value until the next retrain.",
    )  # fmt: skip
    return SchemaProposal(
        record_id="proposal", model=MODEL, at=now - 20, proposal_id="3f2a9c01d4be", state="open",
        base_version=1, base_digest="d" * 64, digest="5e0c" * 16, text="feature {}",
        diff=' string_domain {\n   name: "payment_type"\n+  value: "Mobile"\n }',
        changes=(change,), affects=("The encoder of payment_type gets one more entry.",),
        evidence=(), reason="A value outside the schema came in 5 windows one after the other.",
    )  # fmt: skip
