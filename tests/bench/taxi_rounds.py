"""Rows of the retrain comparison: for each round the same rows as a log and as CSV files.

The split is that of the replay, by the hash of the key. A round has keys of its own, so that its
split and its order differ from another round's; both sides of a round train on the same rows.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import orjson

from deploy.demo import messages
from deploy.demo.trips import generate
from retrain.models.big_tipper.contract import FEATURES
from retrain.ports import AFTER_SHIFT
from streaming.contracts.ids import number_of
from streaming.contracts.log import MemoryLog, Message
from streaming.contracts.model import FeatureSpec, ModelContract
from streaming.contracts.records import OffsetRange, RetrainRequest

EVAL_SHARE = 0.2
TIPS = FeatureSpec(name="tips", kind="number")
CONTRACT = ModelContract(
    model="big_tipper",
    module="retrain.models.big_tipper",
    events_topic="trips",
    labels_topic="tips",
    key="trip_id",
    time="event_time",
    features=FEATURES,
)

Trip = dict[str, Any]


class RoundFiles(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of one round."""

    number: int
    rows: int
    events: str
    """File of JSON lines."""
    labels: str
    """File of JSON lines."""
    csv: str
    """Folder with ``train`` and ``eval``, each with a CSV file."""


def trips(file: Path | None, rows: int, seed: int) -> Iterator[Trip]:
    """`rows` trips of a CSV file, or made-up ones; drawn with replacement when there are fewer."""
    source = list(_made_up(rows, seed) if file is None else _read(file))
    if rows <= len(source):
        return iter(source[:rows])
    drawn = np.random.default_rng(seed).integers(0, len(source), rows)
    return (source[number] for number in drawn)


def write_round(folder: Path, number: int, rows: Iterator[Trip]) -> RoundFiles:
    """Write a round's rows."""
    names = [*(spec.name for spec in FEATURES), TIPS.name, AFTER_SHIFT]
    limit = int(EVAL_SHARE * 2**32)
    count, now = 0, time.time() - 60.0
    for split in ("train", "eval"):
        (folder / "csv" / split).mkdir(parents=True)
    with (
        (folder / "events.jsonl").open("wb") as events,
        (folder / "labels.jsonl").open("wb") as labels,
        (folder / "csv" / "train" / "rows.csv").open("w", newline="") as train,
        (folder / "csv" / "eval" / "rows.csv").open("w", newline="") as held_back,
    ):
        tables = [csv.DictWriter(file, names) for file in (train, held_back)]
        for table in tables:
            table.writeheader()
        for count, trip in enumerate(rows, start=1):
            key = f"{number}-{count}"
            inputs = {k: v for k, v in trip.items() if k != TIPS.name}
            events.write(orjson.dumps({"trip_id": key, "event_time": now, **inputs}) + b"\n")
            labels.write(orjson.dumps({"trip_id": key, TIPS.name: trip[TIPS.name]}) + b"\n")
            is_eval = number_of(key, size=8) >> 32 < limit
            tables[is_eval].writerow(trip | {AFTER_SHIFT: 0})
    return RoundFiles(
        number=number,
        rows=count,
        events=str(folder / "events.jsonl"),
        labels=str(folder / "labels.jsonl"),
        csv=str(folder / "csv"),
    )


@dataclass(slots=True)
class FileLog(MemoryLog):
    """A log whose events and labels are read from files, as Kafka's are: not held in memory."""

    files: dict[str, Path] = field(default_factory=dict)

    def read(self, span: OffsetRange) -> Iterator[Message]:
        if span.topic not in self.files:
            yield from MemoryLog.read(self, span)
            return
        with self.files[span.topic].open("rb") as lines:
            for offset, line in enumerate(islice(lines, span.start, span.stop), start=span.start):
                yield Message(
                    topic=span.topic,
                    partition=0,
                    offset=offset,
                    key=None,
                    value=line.rstrip(b"\n"),
                    time=0.0,
                )


def request_of(files: RoundFiles, *, champion: int) -> RetrainRequest:
    """A request for all rows of a round."""
    now = time.time()

    def span(topic: str) -> tuple[OffsetRange, ...]:
        return (OffsetRange(topic=topic, partition=0, start=0, stop=files.rows),)

    return RetrainRequest(
        record_id=f"bench-{files.number}",
        model=CONTRACT.model,
        at=now,
        cause="manual",
        reason="The benchmark measures a retrain.",
        events=span(CONTRACT.events_topic),
        labels=span(CONTRACT.labels_topic),
        window_start=now - 60.0,
        window_end=now,
        base_version=champion,
        deadline=now + 36_000.0,
    )


def _made_up(rows: int, seed: int) -> Iterator[Trip]:
    generated = generate(np.random.default_rng(11 + seed), rows)
    for row, tips in zip(messages.rows(generated), generated.tips, strict=True):
        yield row | {TIPS.name: float(tips)}


def _read(file: Path) -> Iterator[Trip]:
    specs: Sequence[FeatureSpec] = (*FEATURES, TIPS)
    with file.open(newline="") as lines:
        for texts in csv.DictReader(lines):
            trip: Trip = {}
            for spec in specs:
                if (text := texts.get(spec.name, "")) == "":
                    continue
                number = spec.kind != "text" and float(text)
                trip[spec.name] = int(number) if spec.kind == "integer" else number or text
                if spec.kind == "number":
                    trip[spec.name] = float(text)
            if TIPS.name in trip and trip.get("fare", -1.0) >= 0.0:
                yield trip
