"""The settings of slices and their checks."""

from __future__ import annotations

import pytest

from deploy.config.checks import problems
from deploy.config.model_settings import ModelSettings
from deploy.config.settings import Settings
from streaming.contracts.prediction_slices import PredictionSlices

NAMED = {"header": "x-tenant", "values": ["acme", "beta"]}


def model(predictions: bool = True, **slices: object) -> ModelSettings:
    return ModelSettings.model_validate(
        {
            "module": "retrain.models.big_tipper",
            "events": {"topic": "e", "key": "id", "time": "at"},
            "labels": {"topic": "l", "key": "id", "mature_after": "2h"},
            "predictions": {"topic": "p"} if predictions else None,
            "rollout": {"slices": slices},
        }
    )


def slice_problems(**settings: object) -> list[str]:
    listed = problems(Settings(models={"m": model(**settings)}))  # type: ignore[arg-type]
    return [f"{'.'.join(map(str, path))}: {text}" for path, text in listed if "rollout" in path]


def test_with_a_field_the_label_service_and_the_gates_have_the_same_slices() -> None:
    settings = model(**NAMED, field="tenant", scores="40%", quality=0.2)  # type: ignore[arg-type]
    slices = settings.rollout_rules().evidence.slices
    assert (slices.values, slices.scores, slices.quality) == (("acme", "beta"), 0.4, 0.2)
    assert settings.rollout.slices.predictions() == PredictionSlices(
        field="tenant", values=("acme", "beta")
    )
    assert slice_problems(**NAMED, field="tenant") == []


def test_without_a_field_scores_are_not_judged_by_slice() -> None:
    settings = model(**NAMED)  # type: ignore[arg-type]
    assert settings.rollout_rules().evidence.slices.values == ()
    assert settings.rollout.slices.predictions() == PredictionSlices()


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({**NAMED, "field": "id"}, "has another meaning"),
        ({**NAMED, "field": "prediction"}, "has another meaning"),
        ({"field": "tenant"}, "Name the slices"),
        ({**NAMED, "field": "tenant", "predictions": False}, "no predictions topic"),
        ({**NAMED, "field": "tenant", "quality": 1.0}, "must lie between 0 and 1"),
    ],
)
def test_what_cannot_work_is_named_with_its_key(settings: dict[str, object], text: str) -> None:
    (problem,) = slice_problems(**settings)
    assert problem.startswith("models.m.rollout")
    assert text in problem
