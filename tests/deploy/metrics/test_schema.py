"""Schema series: labelled by kind, so their number does not depend on column names."""

from __future__ import annotations

from typing import get_args

from deploy.metrics.exporter import MetricsExporter
from streaming.contracts.records import SchemaFinding, SchemaKind, SchemaVerdict


def verdict(*findings: SchemaFinding, number: int = 0) -> SchemaVerdict:
    return SchemaVerdict(
        record_id=f"v{number}", model="m", at=0.0, window_start=0.0, window_end=1.0,
        outcome="suspected", reason="", rows=1, schema_version=3, schema_digest="d",
        findings=findings,
    )  # fmt: skip


def series(exporter: MetricsExporter) -> dict[tuple[str, str, str], float]:
    """(name without prefix, kind, outcome) to value."""
    return {
        (
            sample.name.removeprefix("driftline_schema_"),
            sample.labels.get("kind", ""),
            sample.labels.get("outcome", ""),
        ): sample.value
        for family in exporter.registry.collect()
        for sample in family.samples
        if sample.name.startswith("driftline_schema_") and not sample.name.endswith("_created")
    }


def test_findings_are_counted_by_kind_for_the_newest_window() -> None:
    exporter = MetricsExporter()
    new = [
        SchemaFinding(kind="new_column", feature=f"x{n}", outcome="suspected", reason="")
        for n in range(100)
    ]
    gone = SchemaFinding(kind="missing_column", feature="fare", outcome="broken", reason="")
    early = SchemaFinding(kind="skew", feature="fare", outcome="noticed", reason="")
    exporter.on_record(verdict(*new, gone, early), 0.0)
    exported = series(exporter)
    assert exported["findings", "new_column", "suspected"] == 100
    assert exported["findings", "missing_column", "broken"] == 1
    assert exported["findings", "skew", "suspected"] == 0
    assert exported["version", "", ""] == 3
    assert len(exported) <= 2 * len(get_args(SchemaKind)) + 4

    exporter.on_record(verdict(number=1), 0.0)
    exporter.on_record(verdict(number=1), 0.0)
    exported = series(exporter)
    assert exported["findings", "new_column", "suspected"] == 0
    assert exported["windows_total", "", "suspected"] == 2


def test_a_proposal_waits_until_it_is_decided() -> None:
    exporter = MetricsExporter()
    for waits in (True, False):
        exporter.schema.proposal("m", waits)
        assert series(exporter)["proposal_open", "", ""] == waits
