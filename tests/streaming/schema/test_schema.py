"""Findings last or are forgotten; a proposal that is written makes them go away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.contracts.errors import ConfigurationError
from streaming.contracts.records import (
    Categories,
    FeatureSummary,
    Misfit,
    SchemaAnomaly,
    SchemaVerdict,
    WindowSummary,
)
from streaming.engines.tfdv import schema_text
from streaming.schema import Column, Limits, Schema, propose
from streaming.schema import check as check_within
from streaming.schema.limits import OF, SUSTAINED

LIMITS = Limits(sustained=1e-4, single=1e-8)
TAXI = Path(__file__).parents[3] / "retrain" / "models" / "big_tipper" / "schema.pbtxt"
SCHEMA = Schema(
    columns=(
        Column(name="fare", min_fraction=1.0),
        Column(name="payment", min_fraction=1.0, values=("Cash", "Card"), domain_mass=0.99),
        Column(name="old", deprecated=True),
    ),
    digest="d",
)


def window(
    index: int,
    *,
    rows: int = 10_000,
    fare_missing: int = 0,
    other: int = 0,
    old: int = 0,
    dead: int = 0,
    new: bool = False,
) -> WindowSummary:
    values, counts = ("Cash", "App"), (rows - other, other)
    payment = Categories(
        values=values if other else values[:1], counts=counts if other else (rows,)
    )
    return WindowSummary(
        record_id=str(index), model="m", at=float(index),
        window_start=60.0 * index, window_end=60.0 * index + 60,
        accepted=rows, dead_letters=dead, late=0, offsets_read=rows + dead, offsets=(),
        features=(
            FeatureSummary(name="fare", rows=rows, missing=fare_missing),
            FeatureSummary(name="payment", rows=rows, missing=0, categories=payment),
            FeatureSummary(name="old", rows=rows, missing=rows - old),
        ),
        anomalies=(SchemaAnomaly(feature="tip2", code="SCHEMA_NEW_COLUMN", detail="New."),)
        if new
        else (),
    )  # fmt: skip


def check(schema: Schema, windows: list[WindowSummary]) -> SchemaVerdict:
    return check_within(schema, windows, LIMITS)


def test_clean_windows_conform() -> None:
    report = check(SCHEMA, [window(i) for i in range(OF)])
    assert (report.outcome, report.findings, propose(report)) == ("conforms", (), ())


@given(rows=st.integers(2_000, 200_000), field=st.sampled_from(["fare_missing", "other", "old"]))
def test_one_stray_row_in_every_window_is_no_finding(rows: int, field: str) -> None:
    stray: dict[str, Any] = {field: 1}
    report = check(SCHEMA, [window(i, rows=rows, **stray) for i in range(OF)])
    assert (report.outcome, report.findings) == ("conforms", ())


@pytest.mark.parametrize(
    ("given_", "kind", "act"),
    [
        ({"fare_missing": 400}, "presence_drop", "relax_presence"),
        ({"other": 500}, "unseen_value", "extend_domain"),
        ({"old": 9_000}, "deprecated_column", "undeprecate"),
        ({"new": True}, "new_column", "add_column"),
    ],
)
def test_what_lasts_is_suspected_and_proposed(given_: dict[str, Any], kind: str, act: str) -> None:
    windows = [window(i, **given_) for i in range(SUSTAINED)]
    early = check(SCHEMA, windows[:-1])
    assert early.outcome == "conforms"
    assert [(one.kind, one.outcome) for one in early.findings] == [(kind, "noticed")]
    report = check(SCHEMA, windows)
    assert report.outcome == "suspected"
    assert [(one.kind, one.since) for one in report.findings] == [(kind, 0.0)]
    assert [change.act for change in propose(report)] == [act]
    gone = check(SCHEMA, windows + [window(10 + i) for i in range(OF)])
    assert gone.outcome == "conforms"


def test_a_column_that_is_gone_breaks_at_once_and_is_never_written() -> None:
    report = check(SCHEMA, [window(0), window(1, fare_missing=10_000)])
    assert report.outcome == "broken"
    assert [(one.act, one.safe) for one in propose(report)] == [("deprecate", False)]


def test_what_windows_do_not_count_is_taken_from_tfdv_without_a_share() -> None:
    codes = ("FEATURE_TYPE_LOW_FRACTION_PRESENT", "SCHEMA_MISSING_COLUMN", "INT_TYPE_BIG_INT")
    given_ = tuple(SchemaAnomaly(feature=c[:4], code=c, detail="Odd.") for c in codes)
    windows = [msgspec.structs.replace(window(i), anomalies=given_) for i in range(SUSTAINED)]
    report = check(SCHEMA, windows)
    assert report.outcome == "broken"
    assert {one.kind for one in report.findings} == {"presence_drop", "missing_column", "other"}
    assert all(one.value is None and not change.safe
               for one, change in zip(report.findings, propose(report), strict=True))  # fmt: skip


@pytest.mark.parametrize("last", [window(4, rows=50), window(4, rows=4_000, dead=6_000)])
def test_what_cannot_be_read_does_not_conform(last: WindowSummary) -> None:
    report = check(SCHEMA, [*(window(i, other=500) for i in range(4)), last])
    assert report.outcome == "inconclusive"
    assert propose(report) == ()


@pytest.mark.parametrize(
    ("found", "kind", "act"),
    [("text", "type_change", "retype"), ("", "missing_column", "deprecate")],
)
def test_a_field_that_makes_most_events_unreadable_is_named(
    found: str, kind: str, act: str
) -> None:
    misfit = Misfit(feature="fare", found=found, rows=6_000)
    last = msgspec.structs.replace(window(1, rows=4_000, dead=6_000), misfits=(misfit,))
    report = check(SCHEMA, [window(0), last])
    assert report.outcome == "broken"
    (finding,) = report.findings
    assert (finding.kind, finding.outcome, finding.n) == (kind, "broken", 10_000)
    assert finding.value == pytest.approx(0.6)
    assert [(one.act, one.safe) for one in propose(report)] == [(act, False)]


def test_some_events_of_another_type_are_suspected_once_they_last() -> None:
    misfits = (Misfit(feature="fare", found="text", rows=200),)
    windows = [msgspec.structs.replace(window(i, dead=200), misfits=misfits) for i in range(3)]
    assert check(SCHEMA, windows[:2]).outcome == "conforms"
    report = check(SCHEMA, windows)
    assert report.outcome == "suspected"
    assert [(one.kind, one.values) for one in report.findings] == [("type_change", ("text",))]


def test_a_small_presence_is_not_missed_by_chance() -> None:
    """With 2 % asked for, 100 rows without a value are no news; 10,000 are."""
    schema = Schema(columns=(Column(name="fare", min_fraction=0.02),), digest="d")
    assert check(schema, [window(0, rows=100, fare_missing=100)]).findings == ()
    assert check(schema, [window(0, fare_missing=10_000)]).outcome == "broken"


@pytest.mark.parametrize(("found", "type"), [("number", "number"), ("list", ""), ("", "")])
def test_a_new_column_is_proposed_with_the_type_that_was_seen(found: str, type: str) -> None:
    new = SchemaAnomaly(feature="tip2", code="SCHEMA_NEW_COLUMN", detail="New.", found=found)
    windows = [msgspec.structs.replace(window(i), anomalies=(new,)) for i in range(SUSTAINED)]
    (change,) = propose(check(SCHEMA, windows))
    assert (change.act, change.type, change.safe) == ("add_column", type, bool(type))
    text = schema_text.changed(TAXI.read_text(), [change])
    assert ('name: "tip2"' in text) == bool(type)


def test_a_schema_without_serving_cannot_become_a_version() -> None:
    assert schema_text.usable(TAXI.read_text(), "taxi") == TAXI.read_text()
    with pytest.raises(ConfigurationError, match="default_environment"):
        schema_text.usable('feature { name: "a" }', "bare")


def test_the_taxi_schema_is_read_and_a_written_proposal_ends_the_finding(tmp_path: Path) -> None:
    schema = schema_text.read(TAXI)
    by_name = {column.name: column for column in schema.columns}
    assert "tips" not in by_name
    assert by_name["payment_type"].domain_mass == pytest.approx(0.99)
    assert "Mobile" in by_name["payment_type"].values

    def served(index: int) -> WindowSummary:
        made = window(index, fare_missing=700)
        values = Categories(values=("Cash", "Crypto"), counts=(9_000, 1_000))
        payment = FeatureSummary(name="payment_type", rows=10_000, missing=0, categories=values)
        return msgspec.structs.replace(made, features=(made.features[0], payment))

    windows = [served(index) for index in range(SUSTAINED)]
    report = check(schema, windows)
    assert {one.kind for one in report.findings} == {"presence_drop", "unseen_value"}
    after = tmp_path / "schema.pbtxt"
    after.write_text(schema_text.changed(TAXI.read_text(), propose(report)))
    again = schema_text.read(after)
    assert "Crypto" in {column.name: column for column in again.columns}["payment_type"].values
    assert again.digest != schema.digest
    assert check(again, windows).findings == ()
