"""A schema version that arrives while the job runs is active from the next window on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest

from streaming.contracts.ids import digest
from streaming.contracts.model import FeatureSpec, ModelContract
from streaming.contracts.records import (
    DriftVerdict,
    Record,
    SchemaVerdict,
    SchemaVersion,
    WindowSummary,
)
from streaming.drift import DriftRules
from streaming.engines.artifact_store import ArtifactStore
from streaming.engines.tfdv import schema_text
from streaming.job.local import JobRecord, LocalJob
from streaming.job.schema_step import SchemaStepState, read_schema_state
from streaming.schema import propose, version_from_file
from streaming.windowing.event_reader import Fetch
from tests.promotions import first_promotion

pytestmark = pytest.mark.engine  # TFDV's native module

NOW = 1_000_000.0
ROWS = 400
SCHEMA = (
    'default_environment: "SERVING" default_environment: "TRAINING"\n'
    'feature { name: "fare" type: FLOAT presence { min_fraction: 1.0 } }\n'
    'feature { name: "company" type: BYTES domain: "companies" }\n'
    'string_domain { name: "companies" value: "x" }\n'
)
R = TypeVar("R", bound=Record)


class Stream:
    """Sends events of one model to its job, window by window."""

    def __init__(self, folder: Path, schema: str = SCHEMA) -> None:
        path = folder / "schema.pbtxt"
        path.write_text(schema)
        self.store = ArtifactStore(folder / "artifacts")
        self.contract = ModelContract(
            model="m", module="", events_topic="events", labels_topic="labels", key="id",
            time="at", partitions=1, window_seconds=5.0, max_out_of_orderness_seconds=1.0,
            schema_path=str(path) if schema else "",
            features=(
                FeatureSpec(name="fare", kind="number", required=True),
                FeatureSpec(name="company", kind="text", categorical=True),
            ),
        )  # fmt: skip
        self.job = LocalJob(self.contract, DriftRules(), self.store)
        self.sent = 0

    def window(self, **fields: object) -> list[JobRecord]:
        start, values = 5.0 * (self.sent // ROWS), []
        for number in range(ROWS):
            event = {"id": "a", "at": start + number / 100, "fare": number % 7, "company": "x"}
            values.append(json.dumps(event | fields).encode())
        first, self.sent = self.sent, self.sent + ROWS
        records = self.job.feed(
            Fetch(
                partition=0,
                offsets=range(first, self.sent),
                values=values,
                timestamp=lambda number: start + number / 100,
            ),
            now=NOW,
        )
        return records + self.job.finish()


def only(records: Sequence[JobRecord], kind: type[R]) -> R:
    (record,) = [record for record in records if isinstance(record, kind)]
    return record


def version(text: str, number: int) -> SchemaVersion:
    first = version_from_file(text, model="m", current=None, now=0.0)
    return msgspec.structs.replace(first, version=number)


def test_an_accepted_value_conforms_from_the_next_window_on(tmp_path: Path) -> None:
    stream = Stream(tmp_path)
    for _ in range(3):
        out = stream.window(company="y")
    before = only(out, SchemaVerdict)
    assert (before.outcome, before.schema_version) == ("suspected", 0)
    assert [(f.kind, f.values) for f in before.findings] == [("unseen_value", ("y",))]
    assert only(out, DriftVerdict).anomalies

    accepted = version(schema_text.apply_changes(SCHEMA, propose(before)), 2)
    stream.job.activate_schema(accepted)
    stream.job.activate_schema(version(SCHEMA, 1))  # older: too late
    out = stream.window(company="y")
    after, summary = only(out, SchemaVerdict), only(out, WindowSummary)
    assert (after.outcome, after.schema_version, after.findings) == ("conforms", 2, ())
    assert after.schema_digest == summary.schema_digest == accepted.digest
    assert only(out, DriftVerdict).anomalies == ()


def test_a_new_column_has_the_type_of_its_values_and_is_known_once_accepted(tmp_path: Path) -> None:
    stream = Stream(tmp_path)
    for value in (1, 2.5, 3):
        out = stream.window(tip=value)
    verdict = only(out, SchemaVerdict)
    assert [(f.kind, f.feature) for f in verdict.findings] == [("new_column", "tip")]
    (change,) = propose(verdict)
    assert (change.type, change.safe) == ("number", True)
    stream.job.activate_schema(version(schema_text.apply_changes(SCHEMA, [change]), 1))
    out = stream.window(tip=1.5)
    assert only(out, SchemaVerdict).findings == ()
    assert only(out, WindowSummary).anomalies == ()


@pytest.mark.parametrize(
    ("fare", "kind", "types"),
    [
        ("12", "type_change", ("text",)),
        ([1], "type_change", ("list",)),
        (None, "missing_column", ()),
    ],
)
def test_a_field_that_cannot_be_decoded_is_broken_at_once_and_named(
    tmp_path: Path, fare: object, kind: str, types: tuple[str, ...]
) -> None:
    stream = Stream(tmp_path)
    out = stream.window(fare=fare)
    summary, verdict = only(out, WindowSummary), only(out, SchemaVerdict)
    assert [(f.feature, f.rows) for f in summary.rejected_fields] == [("fare", ROWS)]
    assert summary.dead_letters == ROWS
    assert verdict.outcome == "broken"
    assert [(f.kind, f.feature, f.values) for f in verdict.findings] == [(kind, "fare", types)]


def test_after_a_version_that_cannot_be_read_the_one_before_stays_active(tmp_path: Path) -> None:
    stream = Stream(tmp_path)
    stream.job.activate_schema(version("feature {", 3))
    assert only(stream.window(), SchemaVerdict).schema_version == 0
    forged = msgspec.structs.replace(version(SCHEMA, 4), digest=digest(b"other"))
    stream.job.activate_schema(forged)
    assert only(stream.window(), SchemaVerdict).schema_version == 0
    stream.job.activate_schema(version(SCHEMA, 5))
    assert only(stream.window(), SchemaVerdict).schema_version == 5


def test_served_values_that_always_differ_from_the_training_data_are_skew(tmp_path: Path) -> None:
    stream = Stream(tmp_path)
    trained = [only(stream.window(), WindowSummary) for _ in range(3)]
    promotion = first_promotion(stream.store, trained, record_id="p1")
    stream.job.promote(promotion)
    for _ in range(4):
        skewed = only(stream.window(fare=20), SchemaVerdict)
    assert [(f.kind, f.feature) for f in skewed.findings] == [("skew", "fare")]
    assert "version 1" in skewed.findings[0].reason
    assert (skewed.findings[0].value or 0) > 1

    again = Stream(tmp_path)
    again.job.promote(promotion)
    for _ in range(6):
        again.window()
    for _ in range(5):
        drifted = again.window(fare=20)
    assert only(drifted, DriftVerdict).outcome == "drifted"
    assert only(drifted, SchemaVerdict).findings == ()


def test_a_model_without_a_schema_gets_no_schema_verdict(tmp_path: Path) -> None:
    out = Stream(tmp_path, schema="").window(extra=1)
    assert not [record for record in out if isinstance(record, SchemaVerdict)]


def test_the_state_of_the_step_survives_encoding(tmp_path: Path) -> None:
    stream = Stream(tmp_path)
    stream.job.activate_schema(version(SCHEMA, 1))
    stream.window(company="y")
    state = stream.job.state.schema
    assert state.version == version(SCHEMA, 1)
    assert state.history.windows
    assert read_schema_state(msgspec.msgpack.encode(state)) == state
    assert read_schema_state(None) == SchemaStepState()
