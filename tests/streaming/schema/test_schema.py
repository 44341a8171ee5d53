"""Findings over windows, the changes they lead to, and the end of a finding after a change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_metadata.proto.v0 import statistics_pb2

from streaming.contracts.errors import ConfigurationError
from streaming.contracts.records import (
    Categories,
    FeatureSummary,
    RejectedField,
    SchemaAnomaly,
    SchemaChange,
    SchemaVerdict,
    WindowSummary,
)
from streaming.engines.tfdv import schema_text
from streaming.engines.tfdv.validation import Statistics, validate
from streaming.schema import Column, Schema, SchemaThresholds, check_schema, propose

THRESHOLDS = SchemaThresholds(sustained=1e-4)
SUSTAINED, OF = THRESHOLDS.tolerance.sustained, THRESHOLDS.tolerance.of
TAXI = Path(__file__).parents[3] / "retrain" / "models" / "big_tipper" / "schema.pbtxt"
NO_ROWS = statistics_pb2.DatasetFeatureStatisticsList(
    datasets=[statistics_pb2.DatasetFeatureStatistics()]
)
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
    app: int = 0,
    old: int = 0,
    dead: int = 0,
    new: bool = False,
) -> WindowSummary:
    values, counts = ("Cash", "App"), (rows - app, app)
    payment = Categories(values=values if app else values[:1], counts=counts if app else (rows,))
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
    return check_schema(schema, windows, THRESHOLDS)


def test_clean_windows_conform() -> None:
    report = check(SCHEMA, [window(i) for i in range(OF)])
    assert (report.outcome, report.findings, propose(report)) == ("conforms", (), ())


@given(rows=st.integers(2_000, 200_000), field=st.sampled_from(["fare_missing", "app", "old"]))
def test_one_disagreeing_row_in_every_window_is_no_finding(rows: int, field: str) -> None:
    disagreeing: dict[str, Any] = {field: 1}
    report = check(SCHEMA, [window(i, rows=rows, **disagreeing) for i in range(OF)])
    assert (report.outcome, report.findings) == ("conforms", ())


@pytest.mark.parametrize(
    ("disagreement", "kind", "act"),
    [
        ({"app": 500}, "unseen_value", "extend_domain"),
        ({"old": 9_000}, "deprecated_column", "undeprecate"),
        ({"new": True}, "new_column", "ignore_column"),
    ],
)
def test_a_sustained_finding_is_suspected_and_a_change_is_proposed(
    disagreement: dict[str, Any], kind: str, act: str
) -> None:
    windows = [window(i, **disagreement) for i in range(SUSTAINED)]
    early = check(SCHEMA, windows[:-1])
    assert early.outcome == "conforms"
    assert [(finding.kind, finding.outcome) for finding in early.findings] == [(kind, "noticed")]
    report = check(SCHEMA, windows)
    assert report.outcome == "suspected"
    assert [(finding.kind, finding.since) for finding in report.findings] == [(kind, 0.0)]
    assert [change.act for change in propose(report)] == [act]
    later = check(SCHEMA, windows + [window(10 + i) for i in range(OF)])
    assert later.outcome == "conforms"


@pytest.mark.parametrize("share", ["missing", "non_finite"])
@pytest.mark.parametrize("rows", [1_000, 10_000, 200_000])
@pytest.mark.parametrize(("bad", "outcome"), [(0.0005, "conforms"), (0.04, "broken")])
def test_missing_values_break_the_data_above_the_tolerated_share_only(
    share: str, rows: int, bad: float, outcome: str
) -> None:
    """NaN and null are one family: the same share gives the same outcome."""
    counts = {"missing": 0, "non_finite": 0, share: round(rows * bad)}
    fare = FeatureSummary(name="fare", rows=rows, **counts)  # type: ignore[arg-type]
    windows = [
        msgspec.structs.replace(window(i, rows=rows), features=(fare,)) for i in range(SUSTAINED)
    ]
    assert check(SCHEMA, windows[:-1]).outcome == "conforms"
    report = check(SCHEMA, windows)
    assert report.outcome == outcome
    acts = [(change.act, change.safe) for change in propose(report)]
    assert acts == ([("relax_presence", True)] if outcome == "broken" else [])


@pytest.mark.parametrize("code", ["FLOAT_TYPE_SMALL_FLOAT", "INT_TYPE_BIG_INT"])
@pytest.mark.parametrize(("bad", "outcome"), [(1, "conforms"), (5, "conforms"), (100, "broken")])
def test_values_outside_a_domain_break_the_data_above_the_tolerated_share_only(
    code: str, bad: int, outcome: str
) -> None:
    anomaly = SchemaAnomaly(feature="fare", code=code, detail="-1 < 0.", rows=bad)
    windows = [msgspec.structs.replace(window(i), anomalies=(anomaly,)) for i in range(SUSTAINED)]
    report = check(SCHEMA, windows)
    assert report.outcome == outcome
    if outcome == "broken":
        (finding,) = report.findings
        assert (finding.kind, finding.feature) == ("out_of_domain", "fare")
        assert finding.value == pytest.approx(bad / 10_000)


def test_a_missing_column_is_broken_at_once_and_never_written_automatically() -> None:
    report = check(SCHEMA, [window(0), window(1, fare_missing=10_000)])
    assert report.outcome == "broken"
    assert [(change.act, change.safe) for change in propose(report)] == [("deprecate", False)]


def test_anomalies_of_uncounted_columns_are_taken_from_tfdv_without_a_share() -> None:
    codes = ("FEATURE_TYPE_LOW_FRACTION_PRESENT", "SCHEMA_MISSING_COLUMN", "INT_TYPE_BIG_INT")
    anomalies = tuple(SchemaAnomaly(feature=c[:4], code=c, detail="Odd.") for c in codes)
    windows = [msgspec.structs.replace(window(i), anomalies=anomalies) for i in range(SUSTAINED)]
    report = check(SCHEMA, windows)
    assert report.outcome == "broken"
    assert {finding.kind for finding in report.findings} == {
        "presence_drop",
        "missing_column",
        "out_of_domain",
    }
    changes = propose(report)
    assert all(finding.value is None for finding in report.findings)
    assert len(changes) == len(report.findings)
    assert not any(change.safe for change in changes)


@pytest.mark.parametrize("last", [window(4, rows=50), window(4, rows=4_000, dead=6_000)])
def test_a_window_that_cannot_be_judged_does_not_conform(last: WindowSummary) -> None:
    report = check(SCHEMA, [*(window(i, app=500) for i in range(4)), last])
    assert report.outcome == "inconclusive"
    assert propose(report) == ()


@pytest.mark.parametrize(
    ("value_kind", "kind", "act"),
    [("text", "type_change", "retype"), ("", "missing_column", "deprecate")],
)
def test_a_field_that_makes_most_events_unreadable_is_named(
    value_kind: str, kind: str, act: str
) -> None:
    rejected = RejectedField(feature="fare", value_kind=value_kind, rows=6_000)
    last = msgspec.structs.replace(window(1, rows=4_000, dead=6_000), rejected_fields=(rejected,))
    report = check(SCHEMA, [window(0), last])
    assert report.outcome == "broken"
    (finding,) = report.findings
    assert (finding.kind, finding.outcome, finding.n) == (kind, "broken", 10_000)
    assert finding.value == pytest.approx(0.6)
    assert [(change.act, change.safe) for change in propose(report)] == [(act, False)]


def test_some_events_of_another_type_are_broken_once_sustained() -> None:
    rejected_fields = (RejectedField(feature="fare", value_kind="text", rows=200),)
    windows = [
        msgspec.structs.replace(window(i, dead=200), rejected_fields=rejected_fields)
        for i in range(3)
    ]
    assert check(SCHEMA, windows[:2]).outcome == "conforms"
    report = check(SCHEMA, windows)
    assert report.outcome == "broken"
    assert [(finding.kind, finding.values) for finding in report.findings] == [
        ("type_change", ("text",))
    ]


def test_a_column_of_small_presence_is_not_reported_missing_by_chance() -> None:
    """Where 2 % are required, 100 rows without a value are no finding; 10,000 are."""
    schema = Schema(columns=(Column(name="fare", min_fraction=0.02),), digest="d")
    assert check(schema, [window(0, rows=100, fare_missing=100)]).findings == ()
    assert check(schema, [window(0, fare_missing=10_000)]).outcome == "broken"


NEW_KINDS = [
    ("integer", "add_column", "integer"),
    ("number", "add_column", "number"),
    ("text", "add_column", "text"),
    ("boolean", "ignore_column", ""),
    ("list", "ignore_column", ""),
    ("object", "ignore_column", ""),
    ("mixed", "ignore_column", ""),
    ("", "ignore_column", ""),
]


@pytest.mark.parametrize("name", ["tip2", "a b", 'quote"d', "a.b", "größe", "new\nline", "x" * 300])
@pytest.mark.parametrize(("value_kind", "act", "type"), NEW_KINDS)
def test_a_new_column_of_every_kind_can_be_accepted(
    name: str, value_kind: str, act: str, type: str
) -> None:
    """After its acceptance it is known, whatever it holds later, and no retrain lacks it."""
    statistics = Statistics(text=TAXI.read_text())
    (new,) = statistics.anomalies(NO_ROWS, {name: value_kind})
    windows = [msgspec.structs.replace(window(i), anomalies=(new,)) for i in range(SUSTAINED)]
    report = check(SCHEMA, windows)
    assert report.outcome == "suspected"
    (change,) = propose(report)
    assert (change.act, change.feature, change.type, change.safe) == (act, name, type, True)
    text = schema_text.apply_changes(TAXI.read_text(), [change])
    accepted = Statistics(text=text)
    for later in ("integer", "number", "text", "boolean", "list", "object", "mixed", ""):
        assert accepted.anomalies(NO_ROWS, {name: later}) == ()
    assert {column.name for column in schema_text.to_schema(text).columns} >= {name}
    examples = statistics_pb2.DatasetFeatureStatisticsList()
    examples.datasets.add(num_examples=100)
    assert accepted.schema is not None
    before = validate(examples, schema_text.parse(TAXI.read_text()), environment="TRAINING")
    after = validate(examples, accepted.schema, environment="TRAINING")
    assert after.anomaly_info.keys() == before.anomaly_info.keys()


@pytest.mark.parametrize("kinds", [("integer", "text"), ("list", "integer"), ("", "boolean")])
def test_a_new_column_of_changing_kinds_can_be_ignored(kinds: tuple[str, ...]) -> None:
    anomalies = [
        SchemaAnomaly(feature="tip2", code="SCHEMA_NEW_COLUMN", detail="New.", value_kind=kind)
        for kind in (*kinds, kinds[0])
    ]
    windows = [
        msgspec.structs.replace(window(i), anomalies=(anomaly,))
        for i, anomaly in enumerate(anomalies)
    ]
    assert [change.act for change in propose(check(SCHEMA, windows))] == ["ignore_column"]


def test_a_field_without_a_name_is_named_and_left_to_an_engineer() -> None:
    new = SchemaAnomaly(feature="", code="SCHEMA_NEW_COLUMN", detail="New.", value_kind="number")
    windows = [msgspec.structs.replace(window(i), anomalies=(new,)) for i in range(SUSTAINED)]
    (change,) = propose(check(SCHEMA, windows))
    assert not change.safe


@pytest.mark.parametrize(
    ("value_kind", "type"), [("number", "number"), ("text", "text"), ("integer", "integer")]
)
def test_a_new_column_is_proposed_with_the_observed_type(value_kind: str, type: str) -> None:
    new = SchemaAnomaly(
        feature="tip2", code="SCHEMA_NEW_COLUMN", detail="New.", value_kind=value_kind
    )
    windows = [msgspec.structs.replace(window(i), anomalies=(new,)) for i in range(SUSTAINED)]
    (change,) = propose(check(SCHEMA, windows))
    assert (change.act, change.type, change.safe) == ("add_column", type, bool(type))
    text = schema_text.apply_changes(TAXI.read_text(), [change])
    assert ('name: "tip2"' in text) == bool(type)


@pytest.mark.parametrize("type", ["", "list", "boolean", "INT"])
def test_a_column_of_a_type_that_none_can_have_is_not_added(type: str) -> None:
    change = SchemaChange(
        act="add_column", feature="tip2", safe=True, reason="", cost="", type=type
    )
    with pytest.raises(ConfigurationError, match="tip2 cannot be added with the type"):
        schema_text.apply_changes(TAXI.read_text(), [change])


def test_a_schema_without_serving_cannot_become_a_version() -> None:
    assert schema_text.checked(TAXI.read_text(), "taxi") == TAXI.read_text()
    with pytest.raises(ConfigurationError, match="default_environment"):
        schema_text.checked('feature { name: "a" }', "bare")


def test_an_applied_proposal_ends_the_findings_against_the_taxi_schema(tmp_path: Path) -> None:
    schema = schema_text.read_schema(TAXI)
    by_name = {column.name: column for column in schema.columns}
    assert "tips" not in by_name
    assert by_name["payment_type"].domain_mass == pytest.approx(0.99)
    assert "Mobile" in by_name["payment_type"].values

    def served(index: int) -> WindowSummary:
        base = window(index, fare_missing=700)
        values = Categories(values=("Cash", "Crypto"), counts=(9_000, 1_000))
        payment = FeatureSummary(name="payment_type", rows=10_000, missing=0, categories=values)
        return msgspec.structs.replace(base, features=(base.features[0], payment))

    windows = [served(index) for index in range(SUSTAINED)]
    report = check(schema, windows)
    assert {finding.kind for finding in report.findings} == {"presence_drop", "unseen_value"}
    changed_file = tmp_path / "schema.pbtxt"
    changed_file.write_text(schema_text.apply_changes(TAXI.read_text(), propose(report)))
    changed_schema = schema_text.read_schema(changed_file)
    assert (
        "Crypto"
        in {column.name: column for column in changed_schema.columns}["payment_type"].values
    )
    assert changed_schema.digest != schema.digest
    assert check(changed_schema, windows).findings == ()
