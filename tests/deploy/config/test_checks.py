"""Every impossible combination is refused at the key that is wrong, with what would be right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.config import loader
from streaming.contracts.errors import ConfigurationError

MODEL: dict[str, Any] = {
    "module": "retrain.models.big_tipper",
    "events": {"topic": "trips", "key": "trip_id"},
    "labels": {"topic": "tips", "key": "trip_id"},
}


def load(folder: Path, model: dict[str, Any], **sections: Any) -> None:
    file = folder / "driftline.yaml"
    file.write_text(yaml.safe_dump({"models": {"m": MODEL | model}, **sections}))
    loader.load(file, environment={})


MISTAKES: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"module": "nothing.there"}, {}, r"m\.module: .*nothing"),
    ({"module": "retrain.models.big_tiper"}, {}, r"m\.module: There is no module"),
    ({"module": ""}, {}, r"m\.module: There is no module"),
    ({"module": ".relative"}, {}, r"m\.module"),
    (
        {"drift": {"effect": {"suspected": 0.6}}},
        {},
        r"effect\.suspected: 0\.6 is larger than drifted",
    ),
    ({"drift": {"effect": {"drifted": 0.1}}}, {}, r"effect\.suspected"),
    (
        {"drift": {"season_zone": "America/Chicgo"}},
        {},
        r"season_zone: .*Did you mean America/Chicago",
    ),
    ({"drift": {"season_zone": "Mars"}}, {}, r"season_zone"),
    ({"drift": {"sustained": "40 of 70"}}, {}, r"drift"),
    ({"rollout": {"gates": {"latency_p99": 200}}}, {}, r"latency_p99: .*write 200s or 200ms"),
    ({"rollout": {"gates": {"latency_p99": "200s"}}}, {}, r"latency_p99: 3m 20s is not an edge"),
    ({"rollout": {"gates": {"latency_p99": "210ms"}}}, {}, r"the nearest is 200ms"),
    ({"rollout": {"gates": {"errors": 0}}}, {}, r"gates\.errors"),
    ({"rollout": {"deadline": "30s"}}, {}, r"rollout\.deadline: 30s is over before 5 steps"),
    ({"rollout": {"hold": "1h"}}, {}, r"rollout\.deadline: 2h is over before 5 steps of 1h"),
    ({"rollout": {"steps": [5, 1, 100]}}, {}, r"rollout\.steps.*ascend"),
    ({"rollout": {"steps": []}}, {}, r"rollout\.steps"),
    ({"rollout": {"steps": [10, 60, 100]}}, {}, r"rollout\.steps.*at most 50"),
    ({"rollout": {"steps": [100]}}, {}, r"rollout\.steps.*at most 50"),
    (
        {"retrain": {"max_rows": 4000}},
        {},
        r"max_rows: 4000 is less than min_labelled_rows \(5000\)",
    ),
    ({"retrain": {"min_initial_rows": 2_000_000}}, {}, r"max_rows: .*min_initial_rows"),
    ({"retrain": {"budget": "0.5 per 1d"}}, {}, r"retrain\.budget"),
    ({"retrain": {"cooldown": "5 parsecs"}}, {}, r"retrain\.cooldown"),
    (
        {"quality": {"horizon": "1m"}, "labels": MODEL["labels"] | {"mature_after": "2h"}},
        {},
        "horizon",
    ),
    ({"tolerance": {"share": "2 of 5"}}, {}, r"tolerance\.share: .*write for example 0\.1%"),
    ({"tolerance": {"share": "200%"}}, {}, r"tolerance\.share"),
    ({"tolerance": {"sustained": "5 of 3"}}, {}, r"tolerance\.sustained"),
    ({"tolerance": {"never": ["SCHEMA_NEW_COLUMN"]}}, {}, r"tolerance\.never: .*is change"),
    ({"tolerance": {"never": ["fare"]}}, {}, r"tolerance\.never: 'fare' is not a name"),
    ({"window": {"size": "15ms"}}, {}, r"window\.size: 15ms is not a multiple"),
    ({"window": {"size": "0s"}}, {}, r"window\.size"),
    ({"labels": {"topic": "tips", "key": "id"}}, {}, r"labels\.key: .*same field"),
    (
        {"labels": {"topic": "trips", "key": "trip_id"}},
        {},
        r"labels\.topic: trips is the topic of events",
    ),
    ({"events": {"topic": "a b", "key": "trip_id"}}, {}, r"events\.topic"),
    ({"events": {"topic": "commands", "key": "trip_id"}}, {}, r"topic of Driftline itself"),
    ({}, {"kafka": {"bootstrap": "kafka"}}, r"kafka\.bootstrap: 'kafka' is not host:port"),
    ({}, {"kafka": {"bootstrap": "a:1,b"}}, r"'b' is not host:port"),
    ({}, {"kafka": {"bootstrap": "a:99999"}}, r"not host:port"),
    (
        {},
        {"kafka": {"bootstrap": "127.0.0.1:9092"}, "local": {"port_offset": 100}},
        r"moves it to 127\.0\.0\.1:9192",
    ),
    ({}, {"endpoints": {"flink": "localhost:8081"}}, r"endpoints\.flink: .*http://host:port"),
    ({}, {"endpoints": {"jobserver": "http://x"}}, r"endpoints\.jobserver"),
    ({}, {"endpoints": {"envoy_admin": "http://x:1"}}, r"no such key"),
    ({}, {"stream": {"parallelism": 64}}, r"stream\.parallelism: 64 is more than"),
    ({}, {"stream": {"split": "tenant"}}, r"needs models\.m\.tenant"),
    ({}, {"local": {"served_model": "n"}}, r"names no model"),
]


@pytest.mark.parametrize(("model", "sections", "complaint"), MISTAKES)
def test_a_mistake_is_refused_at_its_key(
    tmp_path: Path, model: dict[str, Any], sections: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ConfigurationError, match=complaint) as refused:
        load(tmp_path, model, **sections)
    assert all(line.startswith("driftline.yaml:") for line in str(refused.value).splitlines())


def test_every_mistake_is_reported_at_once(tmp_path: Path) -> None:
    model = {
        "module": "nothing",
        "drift": {"effect": {"suspected": 2}, "season_zone": "x", "min_rows": "many"},
        "rollout": {"deadline": "1s", "gates": {"latency_p99": "7s"}},
    }
    with pytest.raises(ConfigurationError) as refused:
        load(tmp_path, model, kafka={"bootstrap": "x"})
    for key in ("module", "suspected", "season_zone", "min_rows", "deadline", "latency_p99"):
        assert f".{key}: " in str(refused.value)
    assert "kafka.bootstrap: " in str(refused.value)


@pytest.mark.parametrize("name", ["a/b", "", "-x", "a b"])
def test_a_model_name_that_cannot_be_a_folder_is_refused(tmp_path: Path, name: str) -> None:
    file = tmp_path / "driftline.yaml"
    file.write_text(yaml.safe_dump({"models": {name: MODEL}}))
    with pytest.raises(ConfigurationError, match="usable name"):
        loader.load(file, environment={})
