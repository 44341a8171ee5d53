"""Taxi trips as example shards: the real sample where it is there, else made up with a seed."""

from __future__ import annotations

import csv
import random
from collections.abc import Callable, Iterable
from pathlib import Path

from retrain.engines.tfx.tfrecord import RecordWriter, Value, example, feature_encoder
from retrain.models.big_tipper.contract import FEATURES
from retrain.ports import AFTER_SHIFT, TrainingJob
from streaming.contracts.model import FeatureSpec, ModelContract
from streaming.contracts.records import OffsetRange, RetrainRequest

SAMPLE = Path(__file__).resolve().parents[4] / "shared" / "data" / "chicago_taxi.csv"
Trip = dict[str, Value]

CONTRACT = ModelContract(
    model="big_tipper",
    module="retrain.models.big_tipper",
    events_topic="taxi.trips",
    labels_topic="taxi.tips",
    key="trip_id",
    time="event_time",
    features=FEATURES,
)

_COLUMNS = (
    *FEATURES,
    FeatureSpec(name="tips", kind="number"),
    FeatureSpec(name=AFTER_SHIFT, kind="integer"),
)
_READ: dict[str, Callable[[str], Value]] = {"integer": int, "number": float, "text": str}


def trips(count: int) -> list[Trip]:
    """`count` usable trips of before the shift."""
    return _real(count) if SAMPLE.is_file() else _made_up(count)


def shifted(before: Iterable[Trip], *, share: float = 0.7) -> list[Trip]:
    """A share of the trips as they are after the shift: dearer, and cash is tipped as well."""
    chance = random.Random(5)
    after = []
    for trip in before:
        changed = dict(trip)
        if chance.random() < share:
            fare = float(changed["fare"] or 0.0) * 1.6
            generous = changed["payment_type"] == "Cash" and float(changed["trip_miles"] or 0) > 1.5
            changed |= {"fare": fare, "tips": 0.3 * fare if generous else 0.0, AFTER_SHIFT: 1}
        after.append(changed)
    return after


def write_shards(folder: Path, rows: list[Trip], *, without: frozenset[str] = frozenset()) -> Path:
    """Every fourth row to eval, in two shards each; `without` names columns to lose."""
    folder.mkdir(parents=True)
    encoders = {spec.name: feature_encoder(spec) for spec in _COLUMNS if spec.name not in without}
    for split, part in (("eval", rows[::4]), ("train", [r for n, r in enumerate(rows) if n % 4])):
        for shard in range(2):
            with RecordWriter(folder / f"{split}-{shard:05d}-of-00002.tfrecord.gz") as writer:
                for row in part[shard::2]:
                    entries = (encode(row.get(name)) for name, encode in encoders.items())
                    writer.write(example(b"".join(entries)))
    return folder


def job(work: Path, examples: Path, version: int, champion: Path | None) -> TrainingJob:
    """A job with a request that says where its rows come from."""
    spans = (OffsetRange(topic="taxi.trips", partition=0, start=0, stop=6000),)
    work.mkdir(parents=True, exist_ok=True)
    request = RetrainRequest(
        record_id=f"request-{version}",
        model="big_tipper",
        at=1.0,
        caused_by=(f"verdict-{version}",),
        cause="drift" if champion else "initial",
        reason="because",
        events=spans,
        labels=(OffsetRange(topic="taxi.tips", partition=1, start=5, stop=6005),),
        after_shift=spans if champion else (),
        window_start=0.0,
        window_end=1.0,
        base_version=version - 1,
        deadline=9e9,
    )
    return TrainingJob(
        request=request,
        contract=CONTRACT,
        version=version,
        examples=examples,
        rows=6000,
        rows_after_shift=4200 if champion else 0,
        champion=champion,
        work_dir=work,
    )


def _real(count: int) -> list[Trip]:
    rows: list[Trip] = []
    with SAMPLE.open(newline="") as file:
        for line in csv.DictReader(file):
            row: Trip = {
                spec.name: _READ[spec.kind](text) if (text := line.get(spec.name, "")) else None
                for spec in _COLUMNS
            }
            if all(row[spec.name] is not None for spec in FEATURES if spec.required):
                rows.append(row | {AFTER_SHIFT: 0})
    return rows[:count]


def _made_up(count: int) -> list[Trip]:
    chance = random.Random(3)
    rows: list[Trip] = []
    for _ in range(count):
        miles = chance.lognormvariate(0.8, 0.8)
        fare = 3.25 + 2.0 * miles
        card = chance.random() < 0.35
        tips = fare * chance.choice((0.0, 0.15, 0.25, 0.3)) if card else 0.0
        rows.append(
            {
                "fare": fare,
                "trip_miles": miles,
                "trip_seconds": int(240 * miles) + 60,
                "payment_type": "Credit Card" if card else "Cash",
                "company": chance.choice((None, "Taxi Affiliation Services")),
                "pickup_latitude": chance.gauss(41.9, 0.03),
                "pickup_longitude": chance.gauss(-87.65, 0.03),
                "trip_start_hour": chance.randrange(24),
                "tips": tips,
                AFTER_SHIFT: 0,
            }
        )
    return rows
