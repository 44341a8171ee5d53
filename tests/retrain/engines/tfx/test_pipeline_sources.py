"""Examples from Kafka and from TFRecord files, and components of a user's own between the steps."""

from __future__ import annotations

import gzip
import json
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from retrain.engines.tfx.pipeline import RetrainPipeline, pipeline
from retrain.ports import AFTER_SHIFT_SLICE
from streaming.contracts.errors import ConfigurationError
from streaming.contracts.records import RetrainRequest
from streaming.contracts.topics import applications_topic
from streaming.engines.kafka.log import KafkaLog
from tests.retrain.engines.taxi_trips import CONTRACT, trips, write_shards

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("ignore")]

LOG = "streaming.engines.kafka.log.KafkaLog"


def new(folder: Path, **options: Any) -> RetrainPipeline:
    return pipeline("big_tipper", root=folder / "root", **options)


def checked(plan: RetrainPipeline) -> RetrainPipeline:
    return plan.generate_statistics().with_schema().validate_input_data()


def report(steps: Any) -> Any:
    from tests.retrain.engines.row_report import RowReport

    return RowReport(statistics=steps.output("statistics", "statistics"))


def write_rows(bootstrap: str, rows: int) -> tuple[RetrainRequest, Any]:
    """Trips and their tips on topics of their own; the request names their offsets."""
    suffix, now = uuid.uuid4().hex[:6], time.time()
    contract = type(CONTRACT)(
        **{name: getattr(CONTRACT, name) for name in CONTRACT.__struct_fields__}
        | {"events_topic": f"trips-{suffix}", "labels_topic": f"tips-{suffix}"}
    )
    log = KafkaLog(bootstrap)
    topics = (contract.events_topic, contract.labels_topic)
    log.ensure([applications_topic(topic, partitions=2) for topic in topics])
    events, labels = [], []
    for number, trip in enumerate(trips(rows)):
        key, fields = f"trip-{number}", dict(trip)
        tips = fields.pop("tips")
        fields = {name: value for name, value in fields.items() if value is not None}
        event = {contract.key: key, contract.time: now, **fields}
        events.append((key.encode(), json.dumps(event).encode()))
        labels.append((key.encode(), json.dumps({contract.key: key, "tips": tips}).encode()))
    log.append_raw(topics[0], events)
    log.append_raw(topics[1], labels)
    request = RetrainRequest(
        record_id="replayed",
        model=contract.model,
        at=now,
        cause="manual",
        reason="A test.",
        events=log.spans(topics[0]),
        labels=log.spans(topics[1]),
        window_start=now - 60.0,
        window_end=now + 60.0,
        base_version=0,
        deadline=now + 600.0,
    )
    log.close()
    return request, contract


def test_offset_ranges_are_replayed_joined_and_recorded(bootstrap: str, tmp_path: Path) -> None:
    from retrain.engines.tfx import runner

    request, contract = write_rows(bootstrap, 1_200)
    decoder = "deploy.services.worker.column_decoder"
    plan = new(tmp_path).from_kafka(
        request, contract, bootstrap=bootstrap, log=LOG, decoder=decoder
    )
    run = checked(plan).add("report", report).run()
    lines = (run.outputs["RowReport"]["report"] / "rows.txt").read_text().splitlines()
    counts = {split: int(rows) for split, rows in map(str.split, lines)}
    assert sum(counts.values()) == 1_200
    assert 150 < counts["Split-eval"] < 330
    store = runner.open_store(tmp_path / "root" / "mlmd.sqlite")
    (replay,) = store.get_executions_by_type("retrain.engines.tfx.kafka_examples.KafkaExamples")
    assert json.loads(replay.custom_properties["request"].string_value)["record_id"] == "replayed"


def test_a_topic_that_is_gone_fails_the_replay_by_name(bootstrap: str, tmp_path: Path) -> None:
    from retrain.engines.tfx.runner import NodeFailed

    request, contract = write_rows(bootstrap, 40)
    nowhere = type(request)(
        **{name: getattr(request, name) for name in request.__struct_fields__} | {"events": ()}
    )
    plan = new(tmp_path).from_kafka(nowhere, contract, bootstrap=bootstrap, log=LOG)
    with pytest.raises(NodeFailed, match="KafkaExamples failed") as failed:
        checked(plan).run()
    assert failed.value.node == "KafkaExamples"


def test_after_a_shift_the_blessing_asks_for_a_gain_on_the_rows_after_it(tmp_path: Path) -> None:
    span = {"topic": "trips", "partition": 0, "start": 0, "stop": 9}
    fields = {
        "record_id": "r", "model": "big_tipper", "at": 1.0, "cause": "drift", "reason": "",
        "events": [span], "labels": [span], "after_shift": [span], "window_start": 0.0,
        "window_end": 1.0, "base_version": 0, "deadline": 9.0,
    }  # fmt: skip
    import msgspec

    request = msgspec.convert(fields, RetrainRequest)
    plan = new(tmp_path).from_kafka(request, CONTRACT, bootstrap="kafka:9092", log=LOG)
    plan = checked(plan).preprocess().train().evaluate_model().push_to(tmp_path / "models")
    built = plan.build()
    (blessing,) = [each for each in built.pipeline.components if each.id == "Blessing"]
    assert blessing.exec_properties["must_win"] == AFTER_SHIFT_SLICE


def test_tfrecord_files_are_split_by_tfx_and_reach_a_users_component(tmp_path: Path) -> None:
    shards, folder = write_shards(tmp_path / "shards", trips(800)), tmp_path / "files"
    folder.mkdir()
    for number, shard in enumerate(sorted(shards.iterdir())):
        (folder / f"part-{number}.gz").write_bytes(shard.read_bytes())
    plan = new(tmp_path, engine="tfx").from_tfrecord(f"file://{folder}").generate_statistics()
    plan.add("report", report).with_schema().validate_input_data()
    run = plan.run()
    assert [each.name for each in run.components][:2] == ["ImportExampleGen", "ImportSchemaGen"]
    lines = (run.outputs["RowReport"]["report"] / "rows.txt").read_text().splitlines()
    counts = {split: int(rows) for split, rows in map(str.split, lines)}
    assert set(counts) == {"Split-train", "Split-eval"}
    assert sum(counts.values()) == 800
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "part-0.gz").write_bytes(gzip.compress(b"no record"))
    from retrain.engines.tfx.runner import NodeFailed

    with pytest.raises(NodeFailed) as failed:
        new(tmp_path / "d").from_tfrecord(damaged).generate_statistics().run()
    assert failed.value.node == "ImportExampleGen"


def test_a_uri_is_refused_where_the_pipeline_runs_here(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="step 'examples' names gs://taxi/rows"):
        checked(new(tmp_path).from_tfrecord("gs://taxi/rows")).build()
    with pytest.raises(ConfigurationError, match="There is no folder"):
        checked(new(tmp_path).from_csv(tmp_path / "none")).build()


def test_beam_options_of_a_step_without_beam_are_refused(tmp_path: Path) -> None:
    plan = checked(new(tmp_path).from_shards(write_shards(tmp_path / "x", trips(40))))
    plan.add("report", report, beam=("--runner=PortableRunner",))
    with pytest.raises(ConfigurationError, match="RowReport does not use Beam"):
        plan.build()
