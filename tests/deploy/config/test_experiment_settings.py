"""The settings of experiments and their checks."""

from __future__ import annotations

import dataclasses

import pytest

from deploy.config import checks
from deploy.config.checks import problems
from deploy.config.model_settings import ModelSettings
from deploy.config.settings import Settings
from retrain.models.big_tipper.contract import CODE
from streaming.contracts.task import Task


def model(**experiments: object) -> ModelSettings:
    return ModelSettings.model_validate(
        {
            "module": "retrain.models.big_tipper",
            "events": {"topic": "e", "key": "id", "time": "at"},
            "labels": {"topic": "l", "key": "id", "mature_after": "2h"},
            "predictions": {"topic": "p"},
            "experiments": experiments,
        }
    )


def experiment_problems(**experiments: object) -> list[str]:
    settings = Settings(models={"m": model(**experiments)})
    return [
        f"{'.'.join(map(str, path))}: {text}"
        for path, text in problems(settings)
        if "experiments" in path
    ]


def test_the_settings_become_the_rules() -> None:
    rules = model(user_window="1d", tolerated_errors="+0.3pp", min_users=500).rollout_rules()
    assert rules.experiments.user_seconds == 86_400.0
    assert rules.experiments.label_seconds == 7200.0
    assert rules.experiments.errors_pp == pytest.approx(0.3)
    assert rules.experiments.min_users == 500


def test_the_defaults_have_no_problem() -> None:
    assert experiment_problems() == []


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("user_header", "X-User", "header's name in lower case"),
        ("user_header", "x-driftline-user", "begins with none of"),
        ("user_field", "prediction", "has another meaning"),
        ("user_field", "id", "has another meaning"),
        ("max_duration", "3h", "before the first user counts"),
        ("tolerated_errors", "+0pp", "must be above 0"),
    ],
)
def test_what_cannot_work_is_named_with_its_key(key: str, value: str, text: str) -> None:
    (problem,) = experiment_problems(**{key: value})
    assert problem.startswith("models.m.experiments")
    assert text in problem


def test_a_metric_of_another_task_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    regression = dataclasses.replace(CODE, task=Task(kind="regression"))

    def found(metric: str | None) -> list[str]:
        settings = Settings(models={"m": model(metric=metric)})
        return [text for path, text in problems(settings, contracts=True) if "metric" in path]

    assert found("brier") == found(None) == []
    assert found("loss") == ["A binary model is compared by log_loss, brier, accuracy, positives."]
    monkeypatch.setattr(checks, "load_code", lambda _: regression)
    assert found("loss") == found(None) == []
    assert found("log_loss") == ["A regression model is compared by loss."]
