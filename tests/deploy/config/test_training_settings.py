"""The settings of a training become its options."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from deploy.config.model_settings import RetrainSettings
from retrain.training_options import ModelTraining


def test_by_default_nothing_is_searched_compressed_or_started_warm() -> None:
    training = RetrainSettings().training()
    assert training == ModelTraining()
    assert (training.tuner, training.variants, training.warm_start) == (None, (), False)


def test_the_owners_wishes_reach_the_options() -> None:
    settings = RetrainSettings.model_validate(
        {
            "tuner": {"trials": 3, "seconds": "2m", "parallel": 2},
            "compression": "int8",
            "warm_start": True,
            "precision": "float32",
            "training_workers": 2,
        }
    )
    training = settings.training()
    assert training.tuner is not None
    assert (training.tuner.trials, training.tuner.seconds, training.tuner.parallel) == (3, 120.0, 2)
    assert training.variants == ("int8",)
    assert training.warm_start
    assert (training.options.precision, training.options.workers) == ("float32", 2)


@pytest.mark.parametrize(
    "wrong",
    [
        {"tuner": {"trials": 0}},
        {"tuner": {"trial": 3}},
        {"compression": "int4"},
        {"training_workers": 0},
        {"precision": "half"},
        {"beam": ["runner=PortableRunner"]},
        {"beam": "--runner=PortableRunner"},
    ],
)
def test_what_does_not_exist_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        RetrainSettings.model_validate(wrong)


def test_beams_options_are_given_one_by_one() -> None:
    options = ["--runner=PortableRunner", "--job_endpoint=jobserver:8099"]
    assert RetrainSettings.model_validate({"beam": options}).beam == tuple(options)
    assert RetrainSettings().beam == ()
