"""The schema's series: bounded by kinds, whatever columns are invented."""

from __future__ import annotations

from typing import get_args

from deploy.metrics.exporter import Instruments
from streaming.contracts.records import SchemaFinding, SchemaKind, SchemaVerdict


def verdict(*findings: SchemaFinding, number: int = 0) -> SchemaVerdict:
    return SchemaVerdict(
        record_id=f"v{number}", model="m", at=0.0, window_start=0.0, window_end=1.0,
        outcome="suspected", reason="", rows=1, schema_version=3, schema_digest="d",
        findings=findings,
    )  # fmt: skip


def series(instruments: Instruments) -> dict[tuple[str, str, str], float]:
    """(name without prefix, kind, outcome) to value."""
    return {
        (
            sample.name.removeprefix("driftline_schema_"),
            sample.labels.get("kind", ""),
            sample.labels.get("outcome", ""),
        ): sample.value
        for family in instruments.registry.collect()
        for sample in family.samples
        if sample.name.startswith("driftline_schema_") and not sample.name.endswith("_created")
    }


def test_findings_are_counted_by_kind_and_gone_with_the_window() -> None:
    instruments = Instruments()
    new = [
        SchemaFinding(kind="new_column", feature=f"x{n}", outcome="suspected", reason="")
        for n in range(100)
    ]
    gone = SchemaFinding(kind="missing_column", feature="fare", outcome="broken", reason="")
    early = SchemaFinding(kind="skew", feature="fare", outcome="noticed", reason="")
    instruments.on_record(verdict(*new, gone, early), 0.0)
    found = series(instruments)
    assert found["findings", "new_column", "suspected"] == 100
    assert found["findings", "missing_column", "broken"] == 1
    assert found["findings", "skew", "suspected"] == 0
    assert found["version", "", ""] == 3
    assert len(found) <= 2 * len(get_args(SchemaKind)) + 4

    instruments.on_record(verdict(number=1), 0.0)
    instruments.on_record(verdict(number=1), 0.0)
    found = series(instruments)
    assert found["findings", "new_column", "suspected"] == 0
    assert found["windows_total", "", "suspected"] == 2


def test_a_proposal_waits_until_it_is_decided() -> None:
    instruments = Instruments()
    for waits in (True, False):
        instruments.schema.proposal("m", waits)
        assert series(instruments)["proposal_open", "", ""] == waits
