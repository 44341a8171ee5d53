"""The stream job in one process: exact counts, complete accounting, references that change."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given, settings

from streaming.contracts.codec import decode, encode
from streaming.contracts.records import (
    Artifact,
    DeadLetter,
    DriftVerdict,
    WindowSummary,
)
from streaming.drift import DriftRules
from streaming.engines.artifact_store import ArtifactStore
from streaming.job.local import JobRecord, LocalJob
from streaming.windowing.event_reader import Fetch
from tests.promotions import first_promotion
from tests.streaming.statistics_data import contract, number, text

pytestmark = pytest.mark.engine  # imports TensorFlow

NOW = 1_000_000.0
CONTRACT = contract(
    number("fare", required=True),
    text("company"),
    events_topic="events",
    labels_topic="labels",
    key="id",
    time="at",
    partitions=2,
    max_out_of_orderness_seconds=1.0,
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ArtifactStore:
    return ArtifactStore(tmp_path_factory.mktemp("artifacts"))


def event(at: float, fare: object = 1.5, **more: object) -> bytes:
    return json.dumps({"id": "a", "at": at, "fare": fare, "company": "x", **more}).encode()


def fetch(partition: int, start: int, values: Sequence[bytes | None]) -> Fetch:
    return Fetch(
        partition=partition,
        offsets=range(start, start + len(values)),
        values=values,
        timestamp=lambda number: NOW - 900 + 0.1 * (start + number),
    )


def run(store: ArtifactStore, logs: dict[int, list[bytes]], cuts: Sequence[int]) -> list[JobRecord]:
    """Read both logs in fetches that end at `cuts`, then close all windows."""
    job = LocalJob(CONTRACT, DriftRules(), store)
    records: list[JobRecord] = []
    for partition, values in logs.items():
        borders = [0, *sorted({cut for cut in cuts if cut < len(values)} - {0}), len(values)]
        for low, high in itertools.pairwise(borders):
            if low < high:
                records += job.feed(fetch(partition, low, values[low:high]), now=NOW)
    return records + job.finish()


def summaries(records: Sequence[JobRecord]) -> list[WindowSummary]:
    return [record for record in records if isinstance(record, WindowSummary)]


values = st.lists(
    st.one_of(
        st.builds(event, st.floats(0, 60)),
        st.builds(event, st.floats(0, 60), st.sampled_from(["no", None, float("nan")])),
        st.just(b"{"),
    ),
    max_size=30,
)


@settings(max_examples=25, deadline=None)
@given(values, values, st.integers(1, 12), st.lists(st.integers(1, 359), max_size=4))
def test_every_offset_is_accounted_for_however_records_are_fetched(
    store: ArtifactStore, drawn: list[bytes], more: list[bytes], times: int, cuts: list[int]
) -> None:
    # a watermark moves after 135 rows
    first, second = ([value for value in part for _ in range(times)] for part in (drawn, more))
    logs = {0: first, 1: second}
    records = run(store, logs, cuts)
    windows = summaries(records)
    assert sum(s.offsets_read for s in windows) == len(first) + len(second)
    for summary in windows:
        assert summary.accepted + summary.dead_letters + summary.late == summary.offsets_read
        assert all(feature.rows == summary.accepted for feature in summary.features)
        assert (summary.sample.rows if summary.sample else 0) == summary.accepted
    dead_letters = [record for record in records if isinstance(record, DeadLetter)]
    assert len(dead_letters) == sum(s.dead_letters + s.late for s in windows)
    assert len({letter.record_id for letter in dead_letters}) == len(dead_letters)
    unsplit = summaries(run(store, logs, []))
    assert {s.record_id: content(s) for s in windows} == {s.record_id: content(s) for s in unsplit}


def content(s: WindowSummary) -> tuple[object, ...]:
    """The fields that may not depend on how records were fetched."""
    return s.accepted, s.dead_letters, s.late, s.offsets, s.features, s.sample, s.statistics


def test_events_are_counted_exactly_and_a_replay_gives_equal_bytes(store: ArtifactStore) -> None:
    logs = {p: [event(10 + number / 50 + p / 1000) for number in range(2000)] for p in (0, 1)}
    first = run(store, logs, range(300, 2000, 300))
    counted = Counter({s.window_end: s.accepted for s in summaries(first)})
    assert counted == Counter(
        int(json.loads(value)["at"] // 5 * 5 + 5) for log in logs.values() for value in log
    )
    again = run(store, logs, range(300, 2000, 300))
    assert [encode(record) for record in first] == [encode(record) for record in again]


def test_the_statistics_proto_describes_the_rows(store: ArtifactStore) -> None:
    from tensorflow_metadata.proto.v0 import statistics_pb2

    log = [event(11.0, fare) for fare in [1.0, 3.0, float("inf")] + [2.0] * 2000]
    log[1] = log[1].replace(b'"x"', b"null")
    # The infinity stands for a missing value, so its event is a dead letter of another window.
    (summary,) = (s for s in summaries(run(store, {0: log}, [500, 700])) if s.accepted)
    assert summary.statistics is not None
    proto = statistics_pb2.DatasetFeatureStatisticsList()
    proto.ParseFromString(store.get(summary.statistics))
    (dataset,) = proto.datasets
    assert dataset.num_examples == summary.accepted == 2002
    features = {feature.path.step[0]: feature for feature in dataset.features}
    fare, company = features["fare"].num_stats, features["company"].string_stats
    assert (fare.min, fare.max) == (1.0, 3.0)
    assert company.common_stats.num_missing == 1
    assert [(f.missing, f.non_finite) for f in summary.features] == [(0, 0), (1, 0)]


def test_new_columns_and_schema_violations_are_anomalies(
    store: ArtifactStore, tmp_path: Path
) -> None:
    schema = tmp_path / "schema.pbtxt"
    schema.write_text(
        'feature { name: "fare" type: FLOAT presence { min_fraction: 1.0 } }\n'
        'feature { name: "company" type: BYTES domain: "companies" }\n'
        'feature { name: "tips" type: FLOAT presence { min_fraction: 1.0 }\n'
        '  not_in_environment: "SERVING" }\n'
        'string_domain { name: "companies" value: "y" }\n'
        'default_environment: "SERVING" default_environment: "TRAINING"\n'
    )
    contract = msgspec.structs.replace(CONTRACT, schema_path=str(schema))
    job = LocalJob(contract, DriftRules(), store)
    job.feed(fetch(0, 0, [event(1.0, extra=1)] * 50), now=NOW)
    (summary, *_) = summaries(job.finish())
    assert {(a.feature, a.code) for a in summary.anomalies} == {
        ("extra", "SCHEMA_NEW_COLUMN"),
        ("company", "ENUM_TYPE_UNEXPECTED_STRING_VALUES"),
    }


def test_a_promotion_changes_the_reference(store: ArtifactStore) -> None:
    job = LocalJob(CONTRACT, DriftRules(), store)
    first = job.feed(fetch(0, 0, [event(1.0 + n / 100, n % 7) for n in range(400)]), now=NOW)
    first += job.finish()
    promotion = first_promotion(store, summaries(first), record_id="p1")
    job.promote(promotion)
    again = job.feed(fetch(0, 400, [event(6.0 + n / 100, n % 7) for n in range(400)]), now=NOW)
    again += job.finish()
    verdicts = [record for record in first + again if isinstance(record, DriftVerdict)]
    assert [v.outcome for v in verdicts] == ["inconclusive", "stable"]
    assert [v.reference_id for v in verdicts] == ["", "p1"]
    lost = Artifact(uri=promotion.artifact.uri, digest="0" * 64)
    job.promote(msgspec.structs.replace(promotion, record_id="p2", reference=lost))
    job.feed(fetch(0, 800, [event(11.0 + n / 100, n % 7) for n in range(400)]), now=NOW)
    *_, last = job.finish()
    assert isinstance(last, DriftVerdict)
    assert (last.outcome, last.reference_id) == ("inconclusive", "p2")


def test_an_idle_partition_lets_windows_close(store: ArtifactStore) -> None:
    job = LocalJob(CONTRACT, DriftRules(), store)
    assert not summaries(job.feed(fetch(0, 0, [event(1.0), *[event(20.0)] * 135]), now=NOW))
    (summary,) = summaries(job.idle(1, now=30.0))
    assert (summary.window_end, summary.accepted) == (5.0, 1)
    assert decode(encode(summary)) == summary


def test_the_local_job_imports_neither_beam_nor_tensorflow() -> None:
    script = (
        "import sys, streaming.job.local, streaming.job.model_step;"
        "print(*sorted({'apache_beam', 'confluent_kafka', 'tensorflow'} & sys.modules.keys()))"
    )
    completed = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert completed.stdout.split() == []
