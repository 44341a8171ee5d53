"""Each model is judged by its own blessing rules; no TFX is needed for that."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from retrain.blessing import BlessingRules
from retrain.engines.tfx.trainer import TfxTrainer
from retrain.ports import ServerCommand, TrainingJob
from streaming.contracts.records import Metric
from tests.retrain.builders import CONTRACT, request

METRICS = (Metric(name="auc", slice="", value=0.75, low=0.72, high=0.78, n=1_000),)


class NoServer:
    """A launcher that is never used."""

    def command(self) -> ServerCommand:
        raise AssertionError("No server may be started here.")


def job(model: str, work_dir: Path) -> TrainingJob:
    return TrainingJob(
        request=replace(request(), model=model),
        contract=CONTRACT,
        version=1,
        examples=work_dir,
        rows=1_000,
        rows_after_shift=0,
        champion=None,
        work_dir=work_dir,
    )


@pytest.mark.parametrize(("model", "blessed"), [("lenient", True), ("strict", False)])
def test_two_models_have_two_floors(tmp_path: Path, model: str, blessed: bool) -> None:
    rules = {"lenient": BlessingRules(floor=0.6), "strict": BlessingRules(floor=0.8)}
    trainer = TfxTrainer(tmp_path, server=NoServer(), rules=rules)
    blessing = trainer.bless(job(model, tmp_path), METRICS)
    assert blessing.blessed is blessed
    if not blessed:
        assert "must reach 0.8" in blessing.reason


def test_without_rules_every_model_has_the_default_floor(tmp_path: Path) -> None:
    trainer = TfxTrainer(tmp_path, server=NoServer())
    assert trainer.bless(job("any", tmp_path), METRICS).blessed
