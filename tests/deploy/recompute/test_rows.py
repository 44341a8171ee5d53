"""`driftline trace --recompute` reads a retrain's rows again and chooses among them again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from deploy.app.deployment import Deployment
from deploy.services.worker import column_decoder
from retrain.engines.kafka.examples import LogExampleBuilder
from retrain.outcomes import rows_record
from streaming.contracts.clock import ManualClock
from streaming.contracts.log import MemoryLog
from streaming.contracts.records import OffsetRange, RowRules, TrainingRows
from streaming.contracts.topics import RECORD_TOPICS, applications_topic
from tests.deploy.cli.builders import MODEL
from tests.deploy.cli.runner import DEMO, run
from tests.retrain.builders import request

ROWS = 700
NOW = 1_700_000_000.0


@dataclass
class Retrain:
    """A log with labelled trips, a request, and the record of the rows that were chosen."""

    log: MemoryLog
    record: TrainingRows
    events: str
    state: Path

    def recompute(self, code: int) -> Any:
        result = run(
            "trace", self.record.record_id, "--recompute", "--json",
            log=self.log, env={"DRIFTLINE_HOME": str(self.state)},
        )  # fmt: skip
        assert result.exit_code == code, result.stderr
        results = json.JSONDecoder().raw_decode(result.stdout)[0]["recomputed"]
        (of_rows,) = [r for r in results if r["kind"] == "training-rows"]
        return of_rows


@pytest.fixture
def retrain(tmp_path: Path) -> Retrain:
    deployment = Deployment.load(DEMO)
    contract = deployment.contract(MODEL)
    clock = ManualClock(NOW)
    log = MemoryLog(clock=clock)
    events, labels = contract.events_topic, contract.labels_topic
    log.ensure([*RECORD_TOPICS, *(applications_topic(t, partitions=1) for t in (events, labels))])
    trips: list[dict[str, Any]] = [
        {
            "trip_id": f"t{n}", "event_time": NOW - 1_000.0 + n, "fare": 5.0 + n % 40,
            "trip_miles": 1.0 + n % 7, "trip_seconds": 300 + n, "payment_type": "Cash",
            "company": f"company {n % 5}", "trip_start_hour": n % 24, "trip_start_day": 1 + n % 7,
            "trip_start_month": 1 + n % 12,
        }
        for n in range(ROWS)
    ]  # fmt: skip
    log.append_raw(events, [(t["trip_id"].encode(), json.dumps(t).encode()) for t in trips])
    tips = [
        {"trip_id": t["trip_id"], "tips": float(n % 3), "fare": t["fare"]}
        for n, t in enumerate(trips)
    ]
    log.append_raw(labels, [(t["trip_id"].encode(), json.dumps(t).encode()) for t in tips])
    shift = (OffsetRange(topic=events, partition=0, start=400, stop=ROWS),)
    retrain_request = replace(
        request("r1", at=NOW, deadline=NOW + 600.0, events=log.spans(events),
                labels=log.spans(labels), after_shift=shift, window_start=NOW - 600.0),
        model=MODEL,
    )  # fmt: skip
    rules = RowRules(after_shift_share=0.6)
    builder = LogExampleBuilder(log=log, rules={MODEL: rules}, decoder=column_decoder)
    built = builder.build(
        retrain_request, contract, tmp_path / "examples", Path(contract.schema_path)
    )
    record = rows_record(retrain_request, built, at=NOW)
    assert record is not None
    assert record.selection.history, "rows of history were chosen by class"
    log.append([retrain_request, record])
    return Retrain(log, record, events, tmp_path)


def test_the_choice_is_made_again_byte_for_byte_with_the_rules_of_its_record(
    retrain: Retrain,
) -> None:
    assert retrain.recompute(code=0)["outcome"] == "equal"


def test_a_changed_choice_is_found_and_its_fields_are_named(retrain: Retrain) -> None:
    selection = replace(retrain.record.selection, digest="0" * 64)
    retrain.record = replace(retrain.record, record_id="changed-rows", selection=selection)
    retrain.log.append([retrain.record])
    result = retrain.recompute(code=4)
    assert [each["field"] for each in result["differences"]] == ["selection.digest"]


def test_rows_that_the_log_no_longer_keeps_are_named_and_nothing_is_concluded(
    retrain: Retrain,
) -> None:
    partition = retrain.log._partitions[retrain.events][0]
    partition.messages = partition.messages[250:]
    result = retrain.recompute(code=3)
    assert result["outcome"] == "missing"
    assert result["reason"] == (
        f"The log no longer has 250 of the {2 * ROWS} offsets that it was chosen from"
        f" ({retrain.events}/0: 0 to 249)."
    )
