"""The records of served scores: every prediction once, over restarts, repeats and bad messages."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import orjson

from streaming.contracts import topics
from streaming.contracts.clock import ManualClock
from streaming.contracts.codec import decode, encode
from streaming.contracts.log import MemoryLog
from streaming.contracts.model import ModelContract
from streaming.contracts.records import PredictionScores
from streaming.contracts.topics import applications_topic
from streaming.quality import QualityRules
from streaming.quality.counts import score_buckets
from streaming.quality.join import PredictionRow
from streaming.quality.score_counter import RECORD_SECONDS, SLOT_SECONDS, count_scores
from streaming.quality.service import LabelService

CONTRACT = ModelContract(
    model="m", module="", events_topic="m.e", labels_topic="m.l", key="id", time="at",
    window_seconds=60.0, max_out_of_orderness_seconds=1.0,
)  # fmt: skip
START = 1_000_000.0


@dataclass
class Served:
    """Applications that write predictions, and label services on one log and clock."""

    def __post_init__(self) -> None:
        self.clock = ManualClock(START)
        self.log = MemoryLog(self.clock)
        inputs = [applications_topic(name, partitions=3) for name in ("m.p", "m.l")]
        self.log.ensure([*topics.RECORD_TOPICS, *inputs])

    def service(self) -> LabelService:
        service = LabelService(
            log=self.log, clock=self.clock, contract=CONTRACT, predictions_topic="m.p",
            rules=QualityRules(horizon_seconds=600.0), outcome_of=lambda fields: None,
        )  # fmt: skip
        service.start()
        return service

    def write(self, first: int, last: int, version: int = 1, score: float = 0.3) -> None:
        at = self.clock.now()
        rows = [
            {"id": f"k{n}", "at": at, "version": version, "prediction": score}
            for n in range(first, last)
        ]
        self.log.append_raw("m.p", [(row["id"].encode(), orjson.dumps(row)) for row in rows])  # type: ignore[attr-defined]

    def records(self) -> list[PredictionScores]:
        records = []
        for span in self.log.spans(topics.PREDICTION_SCORES.name):
            for message in self.log.read(span):
                record = decode(message.value or b"")
                assert isinstance(record, PredictionScores)
                records.append(record)
        return records


def totals(records: list[PredictionScores]) -> Counter[int]:
    total: Counter[int] = Counter()
    for record in records:
        for entry in record.scores:
            total[entry.version] += sum(entry.counts)
    return total


def test_each_prediction_is_counted_once_over_a_restart() -> None:
    served = Served()
    first = served.service()
    served.write(0, 100)
    served.write(0, 10, version=2, score=0.9)
    first.step()
    assert served.records() == [], "a record covers some seconds"
    served.clock.sleep(RECORD_SECONDS)
    first.step()
    served.write(100, 150)
    first.step()  # these are in no record when the service is killed
    restarted = served.service()
    served.write(140, 160)  # ten of them again
    served.log.append_raw("m.p", [(b"x", b"{nope")])
    restarted.step()
    served.clock.sleep(RECORD_SECONDS)
    restarted.step()
    records = served.records()
    assert totals(records) == {1: 160, 2: 10}
    assert len({record.record_id for record in records}) == len(records) == 2
    assert [(record.read, record.counted) for record in records] == [(110, 110), (71, 60)]
    covered = [(s.partition, offset) for r in records for s in r.offsets
               for offset in range(s.start, s.stop)]  # fmt: skip
    assert len(covered) == len(set(covered)) == 181


def test_a_third_start_with_nothing_new_writes_nothing() -> None:
    served = Served()
    service = served.service()
    served.write(0, 30)
    service.step()
    served.clock.sleep(RECORD_SECONDS)
    service.step()
    for _ in range(2):
        again = served.service()
        served.clock.sleep(RECORD_SECONDS)
        again.step()
    assert totals(served.records()) == {1: 30}
    assert len(served.records()) == 1


def test_the_record_survives_the_wire() -> None:
    served = Served()
    service = served.service()
    served.write(0, 5)
    service.step()
    served.clock.sleep(RECORD_SECONDS)
    service.step()
    (record,) = served.records()
    assert decode(encode(record)) == record
    bucket = int(score_buckets([0.3])[0])
    assert [(e.version, e.buckets, e.counts) for e in record.scores] == [(1, (bucket,), (5,))]


def test_slots_and_versions_are_apart_and_order_does_not_matter() -> None:
    rows: list[PredictionRow] = [
        (f"k{n}", START + n % 25, 1 + n % 2, 65409 + 7 * (n % 5)) for n in range(500)
    ]
    entries = count_scores(rows)
    assert entries == count_scores(rows[::-1])
    places = [(entry.slot, entry.version) for entry in entries]
    assert places == sorted(set(places))
    assert len(places) == 6
    assert sum(sum(entry.counts) for entry in entries) == 500
    for entry in entries:
        slot = range(int(entry.slot), int(entry.slot + SLOT_SECONDS))
        inside = [row for row in rows if row[2] == entry.version and int(row[1]) in slot]
        assert Counter(row[3] for row in inside) == dict(
            zip(entry.buckets, entry.counts, strict=True)
        )
