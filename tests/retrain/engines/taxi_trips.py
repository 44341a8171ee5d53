"""The excerpt of real taxi trips as example shards, before and after a made-up shift."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from pathlib import Path

from retrain.engines.tfx.tfrecord import RecordWriter, Value, example, feature_encoder
from retrain.models.big_tipper.contract import FEATURES
from retrain.ports import AFTER_SHIFT, TrainingJob
from streaming.contracts.model import FeatureSpec, ModelContract
from streaming.contracts.records import OffsetRange, RetrainRequest
from tests.taxi_excerpt import read_rows

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
_PARSERS: dict[str, Callable[[str], Value]] = {"integer": int, "number": float, "text": str}


def trips(count: int) -> list[Trip]:
    """The first `count` trips of the excerpt, all from before the shift."""
    rows = []
    for texts in read_rows()[:count]:
        row: Trip = {
            spec.name: _PARSERS[spec.kind](text) if (text := texts.get(spec.name, "")) else None
            for spec in _COLUMNS
        }
        rows.append(row | {AFTER_SHIFT: 0})
    return rows


def shifted(before: Iterable[Trip], *, share: float = 0.7) -> list[Trip]:
    """The trips with a share of them shifted: more expensive, and cash trips are tipped as well."""
    generator = random.Random(5)
    after = []
    for trip in before:
        changed = dict(trip)
        if generator.random() < share:
            fare = float(changed["fare"] or 0.0) * 1.6
            tipped = changed["payment_type"] == "Cash" and float(changed["trip_miles"] or 0) > 1.5
            changed |= {"fare": fare, "tips": 0.3 * fare if tipped else 0.0, AFTER_SHIFT: 1}
        after.append(changed)
    return after


def write_shards(folder: Path, rows: list[Trip], *, without: frozenset[str] = frozenset()) -> Path:
    """Write every fourth row to eval, in two shards each; `without` names columns to leave out."""
    folder.mkdir(parents=True)
    encoders = {spec.name: feature_encoder(spec) for spec in _COLUMNS if spec.name not in without}
    splits = {"eval": rows[::4], "train": [row for n, row in enumerate(rows) if n % 4]}
    for split, split_rows in splits.items():
        for shard in range(2):
            with RecordWriter(folder / f"{split}-{shard:05d}-of-00002.tfrecord.gz") as writer:
                for row in split_rows[shard::2]:
                    entries = (encode(row.get(name)) for name, encode in encoders.items())
                    writer.write(example(b"".join(entries)))
    return folder


def training_job(
    work_dir: Path, examples: Path, version: int, champion: Path | None
) -> TrainingJob:
    """A job whose request names the offsets of its rows."""
    spans = (OffsetRange(topic="taxi.trips", partition=0, start=0, stop=6000),)
    work_dir.mkdir(parents=True, exist_ok=True)
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
        work_dir=work_dir,
    )
