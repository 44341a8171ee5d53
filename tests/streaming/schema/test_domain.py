"""Rows outside a closed domain are found however many values they have; legal rows never are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from msgspec.structs import replace

from streaming import summary
from streaming.contracts.records import Categories, SchemaVerdict, WindowSummary
from streaming.schema import Column, Schema, SchemaThresholds, check_schema, propose
from streaming.schema.domain import count_outside
from tests.streaming.statistics_data import contract, integer, text, window

THRESHOLDS = SchemaThresholds(sustained=1e-4)
WINDOWS = 3
FEW = ("Cash", "Card", "Mobile")
LARGE = tuple(f"shop {at}" for at in range(5_000))


def verdict(
    column: Column, values: Sequence[object], *, parts: int = 1, sampled: bool = True
) -> SchemaVerdict:
    """The verdict on some windows with these values, each summarised in parts."""
    number = isinstance(values[0], int)
    of = contract(integer("x", categorical=True) if number else text("x"))
    windows: list[WindowSummary] = []
    for at in range(WINDOWS):
        batches = [
            pa.RecordBatch.from_arrays([pa.array(values[part::parts])], names=["x"])
            for part in range(parts)
        ]
        counted = summary.merge(
            [
                summary.add(
                    summary.start(of),
                    batch,
                    summary.row_keys(f"t{at}", part, np.arange(batch.num_rows)),
                )
                for part, batch in enumerate(batches)
            ]
        )
        record = window(at, batches[0], of, accepted=len(values), offsets_read=len(values))
        sample = summary.finish_sample(counted) if sampled else None
        windows.append(replace(record, features=summary.finish(counted), sample=sample))
    return check_schema(Schema(columns=(column,), digest="d"), windows, THRESHOLDS)


def mixed(rows: int, share: float, domain: Sequence[str], unknown: int, seed: int = 1) -> list[str]:
    """Legal values, and a `share` of the rows with `unknown` other values."""
    rng = np.random.default_rng(seed)
    legal = rng.integers(0, len(domain), rows)
    others = rng.permutation(rows) % unknown
    bad = rng.random(rows) < share
    return [f"? {others[at]}" if bad[at] else domain[legal[at]] for at in range(rows)]


@pytest.mark.parametrize("parts", [1, 7])
@pytest.mark.parametrize("share", [0.02, 0.45, 0.8, 1.0])
@pytest.mark.parametrize(("rows", "unknown"), [(6_000, 3), (6_000, 4_500), (30_000, 30_000)])
def test_unknown_values_are_found_however_many_there_are(
    rows: int, unknown: int, share: float, parts: int
) -> None:
    column = Column(name="x", values=FEW)
    report = verdict(column, mixed(rows, share, FEW, unknown), parts=parts, sampled=False)
    assert report.outcome == "suspected"
    (finding,) = report.findings
    assert finding.kind == "unseen_value"
    assert finding.value == pytest.approx(share, abs=0.02)
    assert [change.act for change in propose(report)] == ["extend_domain"]


@pytest.mark.parametrize("parts", [1, 7])
@pytest.mark.parametrize("domain", [FEW, LARGE])
def test_legal_values_conform_however_many_there_are(domain: tuple[str, ...], parts: int) -> None:
    for rows in (2_000, 20_000, 60_000):
        report = verdict(Column(name="x", values=domain), mixed(rows, 0.0, domain, 1), parts=parts)
        assert report.findings == ()


@pytest.mark.parametrize("unknown", [1, 40, 100_000])
@pytest.mark.parametrize("rows", [20_000, 60_000])
def test_unknown_values_beside_a_large_domain_are_found(rows: int, unknown: int) -> None:
    report = verdict(Column(name="x", values=LARGE), mixed(rows, 0.05, LARGE, unknown), parts=3)
    (finding,) = report.findings
    assert (report.outcome, finding.kind) == ("suspected", "unseen_value")
    assert finding.value == pytest.approx(0.05, abs=0.03)


@pytest.mark.parametrize(("mass", "findings"), [(0.99, 1), (0.9, 0)])
@pytest.mark.parametrize("domain", [FEW, LARGE])
def test_the_share_that_the_schema_allows_is_allowed_in_the_tail_too(
    domain: tuple[str, ...], mass: float, findings: int
) -> None:
    values = mixed(30_000, 0.06, domain, 30_000)
    report = verdict(Column(name="x", values=domain, domain_mass=mass), values)
    assert len(report.findings) == findings


def test_integers_that_are_counted_by_value_have_a_domain_too() -> None:
    column = Column(name="x", values=("0", "1"))
    flags = [at % 2 for at in range(9_000)]
    assert verdict(column, flags).findings == ()
    ids = [at if at % 2 else 0 for at in range(20_000)]
    (finding,) = verdict(column, ids, sampled=False).findings
    assert finding.value == pytest.approx(0.5, abs=0.01)


def test_a_known_value_that_was_dropped_is_not_counted_as_unknown() -> None:
    column = Column(name="x", values=("a", "b", "c"))
    counted = Categories(values=("a",), counts=(900,), tail_rows=100, error=40)
    assert count_outside(column, counted, 1_000).rows == 0
    larger = Categories(values=("a", "z"), counts=(900, 7), tail_rows=200, error=40)
    assert count_outside(column, larger, 1_107).rows == 87


def test_without_a_sample_an_uncertain_tail_is_no_finding() -> None:
    values = mixed(20_000, 0.0, LARGE, 1)
    assert verdict(Column(name="x", values=LARGE), values, sampled=False).findings == ()
