"""Retention follows from the settings; settings that let their own history expire are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from deploy.config import loader
from deploy.config.checks import problems
from deploy.config.retention import planned_topics, retentions, window_needs
from deploy.config.settings import Settings
from streaming.contracts.errors import ConfigurationError
from streaming.contracts.topics import RECORD_TOPICS

DAY = 86_400.0


def model(name: str = "m", **sections: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "module": "retrain.models.big_tipper",
        "events": {"topic": f"{name}.trips", "key": "trip_id"},
        "labels": {"topic": f"{name}.tips", "key": "trip_id"},
    }
    return {
        key: {**base.get(key, {}), **value} if isinstance(value, dict) else value
        for key, value in (base | sections).items()
    }


def settings(*models: dict[str, Any], **sections: Any) -> Settings:
    named = {f"m{number}": value for number, value in enumerate(models)}
    return Settings.model_validate({"models": named or {"m": model()}, **sections})


def windows_days(value: Settings) -> float:
    return retentions(value)["windows"].seconds / DAY


def test_a_season_keeps_its_weeks_and_the_time_to_the_promotion() -> None:
    plain = settings(model(drift={"day_variation": 0.05}))
    assert windows_days(plain) == 30
    seasonal = settings(model(drift={"season": "hour-of-week"}))
    assert windows_days(seasonal) >= 8 * 7 + 7
    assert "season is learnt from 8 weeks" in retentions(seasonal)["windows"].reason


@pytest.mark.parametrize(
    ("sections", "least", "reason"),
    [
        ({}, 28, "day variance"),
        ({"drift": {"season": "hour-of-day"}}, 56, "season"),
        ({"labels": {"mature_after": "40d"}, "quality": {"horizon": "80d"}}, 28 + 40, "variance"),
        ({"window": {"size": "1h"}, "drift": {"day_variation": 0.05}}, 30, "backtest"),
        ({"window": {"size": "6h"}, "drift": {"day_variation": 0.05}}, 64, "256 windows of 6h"),
        ({"window": {"size": "1d"}}, 256, "256 windows of 1d"),
        ({"rollout": {"deadline": "60d"}}, 28 + 60, "variance"),
    ],
)
def test_the_longest_need_decides_and_is_named(
    sections: dict[str, Any], least: float, reason: str
) -> None:
    need = retentions(settings(model(**sections)))["windows"]
    assert need.seconds / DAY >= least
    assert reason in need.reason


def test_the_model_that_looks_back_furthest_decides_for_all() -> None:
    plain, seasonal = model("a"), model("b", drift={"season": "hour-of-week"})
    both = settings(plain, seasonal)
    assert windows_days(both) == windows_days(settings(seasonal))
    assert retentions(both)["windows"].reason.startswith("m1: ")


@given(
    size=st.sampled_from(["10s", "60s", "1h", "1d"]),
    mature=st.integers(0, 60),
    season=st.sampled_from(["none", "hour-of-day", "hour-of-week"]),
)
def test_windows_outlive_everything_that_looks_back(size: str, mature: int, season: str) -> None:
    section = model(
        window={"size": size}, labels={"mature_after": f"{mature}h"}, drift={"season": season}
    )
    value = settings(section)
    kept = retentions(value)
    needs = window_needs(value.models["m0"])
    assert kept["windows"].seconds >= max(need.seconds for need in needs)
    assert kept["decisions"].seconds >= kept["windows"].seconds


def test_topics_get_the_retention_of_their_group_and_the_replicas() -> None:
    value = settings(
        model(drift={"season": "hour-of-week"}),
        kafka={"replicas": 3, "bootstrap": "k:9092"},
        retention={"decisions": "500d", "dead_letters": "9d"},
    )
    topics = {topic.name: topic for topic in planned_topics(value)}
    assert {topic.name for topic in RECORD_TOPICS} < set(topics)
    assert {topic.replicas for topic in topics.values()} == {3}
    kept_hours = retentions(value)["windows"].seconds / 3600
    for name in ("window-statistics", "drift-verdicts", "schema-verdicts", "m.trips"):
        assert topics[name].retention_hours == kept_hours
    assert topics["commands"].retention_hours == 500 * 24
    assert topics["late-events"].retention_hours == 9 * 24
    for name in ("promotions", "rollouts", "model-versions", "schema-versions"):
        assert topics[name].cleanup == "compact"
    assert not topics["m.trips"].altered
    assert not topics["m.tips"].altered


REFUSED: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    (
        {"drift": {"season": "hour-of-week"}},
        {"retention": {"windows": "30d"}},
        r"retention\.windows: 30d is shorter than .* models\.m\.drift\.season needs .*8 weeks",
    ),
    (
        {"drift": {"season": "hour-of-day"}},
        {"retention": {"windows": "8d"}},
        r"models\.m\.drift\.season",
    ),
    ({}, {"retention": {"windows": "4d"}}, r"models\.m\.drift\.day_variation needs"),
    (
        {"drift": {"day_variation": 0.05}, "window": {"size": "1h"}},
        {"retention": {"windows": "9d"}},
        r"models\.m\.window\.size needs .*256 windows of 1h",
    ),
    (
        {"labels": {"mature_after": "50d"}},
        {"retention": {"windows": "60d"}},
        r"retention\.windows: 60d is shorter than",
    ),
    ({}, {"retention": {"decisions": "10d"}}, r"retention\.decisions: 10d is shorter than windows"),
    (
        {"predictions": {"topic": "served"}, "quality": {"horizon": "20d"}},
        {"retention": {"dead_letters": "30d"}},
        r"retention\.dead_letters: 30d is shorter than 40d .*quality\.horizon",
    ),
    ({}, {"retention": {"windows": "0s"}}, r"retention\.windows"),
    ({}, {"retention": {"windows": "long"}}, r"retention\.windows"),
    ({}, {"kafka": {"replicas": 3}}, r"kafka\.replicas: 3 copies need as many brokers"),
    ({}, {"kafka": {"replicas": 0, "bootstrap": "k:9092"}}, r"kafka\.replicas"),
    ({}, {"kafka": {"replicas": "many", "bootstrap": "k:9092"}}, r"kafka\.replicas"),
]


@pytest.mark.parametrize(("sections", "more", "message"), REFUSED)
def test_what_contradicts_is_refused_with_a_sentence(
    tmp_path: Path, sections: dict[str, Any], more: dict[str, Any], message: str
) -> None:
    file = tmp_path / "driftline.yaml"
    file.write_text(yaml.safe_dump({"models": {"m": model(**sections)}, **more}))
    with pytest.raises(ConfigurationError, match=message):
        loader.load(file, environment={})


@pytest.mark.parametrize(
    "more",
    [
        {"retention": {"windows": "70d"}},
        {"retention": {"windows": "400d", "decisions": "400d"}},
        {"kafka": {"replicas": 3, "bootstrap": "a:9092,b:9092,c:9092"}},
    ],
)
def test_what_fits_is_accepted(tmp_path: Path, more: dict[str, Any]) -> None:
    file = tmp_path / "driftline.yaml"
    models = {"m": model(drift={"season": "hour-of-week"})}
    file.write_text(yaml.safe_dump({"models": models, **more}))
    loader.load(file, environment={})


@pytest.mark.parametrize("group", ["windows", "decisions", "dead_letters"])
def test_only_a_group_that_the_file_names_is_given(group: str) -> None:
    topics = planned_topics(settings(retention={group: "900d"}))
    groups = {topic.retention for topic in topics if topic.retention_given}
    assert groups == {group.replace("_", "-")}
    assert not any(topic.retention_given for topic in planned_topics(settings()))


def test_windows_are_kept_for_as_long_as_a_version_may_wait_for_people() -> None:
    patient = settings(model(rollout={"approval_deadline": "50d"}))
    assert windows_days(patient) >= 28 + 50
    immediate = settings(model(rollout={"approval_deadline": "50d", "approval": "never"}))
    assert windows_days(immediate) < 50


def test_windows_are_kept_for_a_rollout_that_little_traffic_makes_a_day_long() -> None:
    def longest_need(deadline: str) -> float:
        (section,) = settings(model(rollout={"deadline": deadline})).models.values()
        return max(need.seconds for need in window_needs(section))

    assert longest_need("1h") == longest_need("1d")
    assert longest_need("3d") == longest_need("1d") + 2 * DAY


def test_a_request_is_kept_until_people_have_decided() -> None:
    kept = settings(model(rollout={"approval_deadline": "50d"}), retention={"decisions": "40d"})
    assert any(
        path == ("retention", "decisions") and "approval_deadline" in message
        for path, message in problems(kept)
    )
