"""The slices of served predictions: their scores, their outcomes, and odd values."""

from __future__ import annotations

from collections import Counter

import numpy as np
import orjson
import pytest

from streaming.contracts import topics
from streaming.contracts.codec import decode
from streaming.contracts.prediction_slices import NO_SLICE, PredictionSlices
from streaming.contracts.records import QualityVerdict
from streaming.quality.counts import count_rows
from streaming.quality.score_counter import RECORD_SECONDS
from streaming.quality.service import LabelService
from streaming.quality.settings import QualityRules
from streaming.quality.slices import in_wide_buckets, wide_buckets
from tests.streaming.quality.test_score_counter import CONTRACT, Served

SLICES = PredictionSlices(field="shop", values=("north", "7"))


@pytest.mark.parametrize("value", ["south", "", None, True, 7.5, [7], {"north": 1}, "North"])
def test_any_other_value_is_of_no_slice(value: object) -> None:
    assert SLICES.number_of({"shop": value}) == NO_SLICE
    assert PredictionSlices().number_of({"": "north", "shop": "north"}) == NO_SLICE


def test_wide_buckets_keep_the_order_and_every_prediction() -> None:
    ids = np.arange(-500, 500)
    assert np.all(np.diff(wide_buckets(ids)) >= 0)
    assert np.array_equal(wide_buckets(wide_buckets(ids)), wide_buckets(ids))
    random = np.random.default_rng(0)
    counts = count_rows(random.integers(-900, 900, 5000), random.integers(-1, 2, 5000))
    wide = in_wide_buckets(counts)
    assert (wide.predictions, wide.labelled) == (counts.predictions, counts.labelled)
    assert len(wide.buckets) < len(counts.buckets) / 6


def service_of(served: Served) -> LabelService:
    service = LabelService(
        log=served.log, clock=served.clock, contract=CONTRACT, predictions_topic="m.p",
        rules=QualityRules(horizon_seconds=600.0, grace_seconds=0.0), slices=SLICES,
        outcome_of=lambda fields: fields["tip"],
    )  # fmt: skip
    service.start()
    return service


def write(served: Served, first: int, last: int, labelled: bool = True) -> None:
    at = served.clock.now()
    for n in range(first, last):
        shop = ("north", 7, "south", None)[n % 4]
        row = {"id": f"k{n}", "at": at, "version": 1 + n % 2, "prediction": 0.3, "shop": shop}
        served.log.append_raw("m.p", [(row["id"].encode(), orjson.dumps(row))])  # type: ignore[attr-defined]
        if labelled:
            label = {"id": row["id"], "tip": n % 3 == 0}
            served.log.append_raw("m.l", [(row["id"].encode(), orjson.dumps(label))])  # type: ignore[attr-defined]


def test_each_prediction_of_a_slice_is_counted_once_over_a_restart() -> None:
    served = Served()
    for first in (0, 40):
        service = service_of(served)
        write(served, first, first + 40)
        service.step()
        served.clock.advance(RECORD_SECONDS)
        service.step()
    by_slice: Counter[tuple[str, int]] = Counter()
    for record in served.records():
        for part in record.slices:
            for entry in part.scores:
                by_slice[part.name, entry.version] += sum(entry.counts)
    assert by_slice == {("north", 1): 20, ("7", 2): 20}


def test_realised_verdicts_have_the_outcomes_of_the_slices_and_estimates_have_none() -> None:
    served = Served()
    service = service_of(served)
    write(served, 0, 48)
    service.step()
    for _ in range(30):
        served.clock.advance(60.0)
        service.step()
    verdicts = [
        record
        for span in served.log.spans(topics.QUALITY_VERDICTS.name)
        for message in served.log.read(span)
        for record in (decode(message.value or b""),)
        if isinstance(record, QualityVerdict)
    ]
    realised = {v.version: v.slices for v in verdicts if v.stage == "realised"}
    assert [part.name for part in realised[1]] == ["north"]
    assert [part.name for part in realised[2]] == ["7"]
    counts = realised[1][0].counts
    assert (sum(counts.served), sum(counts.positives), sum(counts.negatives)) == (12, 4, 8)
    assert all(v.slices == () for v in verdicts if v.stage == "estimated")
