"""The learning-curve probe over written examples."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from retrain.engines.tfx.row_probe import ProbedExamples, ProbeRules, probe_rows
from retrain.engines.tfx.tfrecord import RecordWriter, example, feature_encoder
from retrain.models.code import ModelCode, load_code
from retrain.ports import AFTER_SHIFT, ExampleSet
from streaming.contracts.model import FeatureSpec, ModelContract
from streaming.contracts.records import OffsetRange, RetrainRequest
from tests.retrain.builders import CONTRACT, MODEL, request

FARE = FeatureSpec(name="fare", kind="number")
CODE = dataclasses.replace(
    load_code("retrain.models.big_tipper"),
    features=(FARE,),
    label="high",
    label_columns=("high",),
    outcome=None,
)
SPECS = (
    FARE,
    FeatureSpec(name="high", kind="integer"),
    FeatureSpec(name=AFTER_SHIFT, kind="integer"),
)
SPAN = OffsetRange(topic="trips", partition=0, start=0, stop=9)


def write(folder: Path, side: str, rows: int, *, after: int = 1, seed: int = 0) -> None:
    """Rows whose label is a noisy threshold of the fare."""
    generator = np.random.default_rng(seed)
    encoders = [(spec.name, feature_encoder(spec)) for spec in SPECS]
    with RecordWriter(folder / f"{side}-{after}.tfrecord.gz") as writer:
        for fare in generator.uniform(0.0, 10.0, rows):
            high = int(fare + generator.normal() > 5.0)
            values = {"fare": float(fare), "high": high, AFTER_SHIFT: after}
            writer.write(example(b"".join(encode(values[name]) for name, encode in encoders)))


def test_rows_that_suffice_are_enough_and_the_same_rows_say_the_same(tmp_path: Path) -> None:
    write(tmp_path, "train", 3_000)
    write(tmp_path, "train", 50, after=0)
    write(tmp_path, "eval", 1_500, seed=1)
    probe = probe_rows(tmp_path, CODE, ProbeRules(), seed=7)
    assert (probe.outcome, probe.rows) == ("enough", 3_000), "rows of history do not count"
    assert [fit.rows for fit in probe.fits] == [187, 375, 750, 1_500, 3_000]
    assert all(0.9 < fit.score < 1.0 and 0.0 < fit.error < 0.05 for fit in probe.fits)
    assert probe == probe_rows(tmp_path, CODE, ProbeRules(), seed=7)


def test_rows_that_cannot_be_scored_are_unclear_and_delay_nothing(tmp_path: Path) -> None:
    write(tmp_path, "train", 300)
    write(tmp_path, "eval", 20)
    probe = probe_rows(tmp_path, CODE, ProbeRules(), seed=7)
    assert (probe.outcome, probe.fits) == ("unclear", ())


class Written:
    """A builder that has written its rows before."""

    def build(
        self,
        request: RetrainRequest,
        contract: ModelContract,
        folder: Path,
        schema: Path | None = None,
    ) -> ExampleSet:
        return ExampleSet(folder=folder, rows=1, rows_after_shift=1, unlabelled=0, unusable=0)


def test_only_the_first_request_after_a_shift_is_probed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def code_of(module: str) -> ModelCode:
        return CODE

    monkeypatch.setattr("retrain.engines.tfx.row_probe.load_code", code_of)
    write(tmp_path, "train", 200)
    write(tmp_path, "eval", 10)
    probed = ProbedExamples(builder=Written(), rules={MODEL: ProbeRules()})
    shifted = request(after_shift=(SPAN,))
    assert probed.build(shifted, CONTRACT, tmp_path).probe is not None
    for other in (request(), replace(shifted, waited=True)):
        assert probed.build(other, CONTRACT, tmp_path).probe is None
