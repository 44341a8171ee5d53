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
    (
        {"rollout": {"approval_people": 2, "approvers": [{"name": "ann"}]}},
        {},
        r"rollout: 2 of 1 approvers must approve.*name at least 2",
    ),
    (
        {
            "rollout": {
                "approvers": [{"name": "ann", "role": "lead"}],
                "approval_by_proposer": False,
            }
        },
        {},
        r"rollout: .*one more for what an approver proposed",
    ),
    ({"rollout": {"approvers": [{"name": "ann"}, {"name": "Ann"}]}}, {}, r"name somebody twice"),
    ({"rollout": {"approvers": ["ann"]}}, {}, r"rollout\.approvers"),
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
    ({}, {"local": {"served_models": ["n"]}}, r"names no model"),
    *(
        ({}, {"local": {"folder": folder}}, r"local\.folder: .* has another use")
        for folder in (".", "..", "run", "log", "data", "artifacts")
    ),
    *(
        ({}, {"endpoints": {"flink": url}}, r"endpoints\.flink: .* is not a URL")
        for url in ("http://[::1", "http://a:99999", "http://a:b", "http://:80", "http://a b:80")
    ),
    *(
        (
            {},
            {"kafka": {"bootstrap": servers}, "local": {"port_offset": 9}},
            r"it to 127\.0\.0\.1:9101",
        )
        for servers in ("localhost:9092", " 127.0.0.1:9092 ", "[::1]:9092", "a:1, localhost:9092")
    ),
    *(
        ({}, {"endpoints": {key: address}, "local": {"port_offset": 1}}, f"moves it to {moved}")
        for key, address, moved in (
            ("flink", "http://127.0.0.1:8081", "127.0.0.1:8082"),
            ("prometheus", "http://localhost:9090/", "127.0.0.1:9091"),
            ("envoy", " http://[::1]:8500 ", "127.0.0.1:8501"),
            ("jobserver", "localhost:8099", "127.0.0.1:8100"),
            ("workers", "127.0.0.1:8096", "127.0.0.1:8097"),
        )
    ),
    *(
        ({"events": {"topic": topic, "key": "trip_id"}}, {}, rf"events\.topic: .*{reason}")
        for topic, reason in (
            ("__consumer_offsets", "Kafka's own topics"),
            ("__transaction_state", "Kafka's own topics"),
            ("driftline-daemon-state-changelog", "topic of Driftline itself"),
            ("..", "not a name that Kafka accepts"),
        )
    ),
    *(
        (
            {
                "events": {"topic": events, "key": "trip_id"},
                "labels": {"topic": labels, "key": "trip_id"},
            },
            {},
            rf"labels\.topic: .* collides with {events}, the topic of events",
        )
        for events, labels in (("a.b", "a_b"), ("a_b", "a.b"), ("a.b_c", "a_b.c"))
    ),
    *(
        (
            {"events": {"topic": "a", "key": key}, "labels": {"topic": "b", "key": key}},
            {},
            r"events\.key: The name",
        )
        for key in ("", " ")
    ),
    ({"events": {"topic": "a", "key": "trip_id", "time": ""}}, {}, r"events\.time: The name"),
    ({"labels": {"topic": "a", "key": "trip_id", "time": "t"}}, {}, r"labels\.time: no such key"),
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


def two_models(folder: Path, first: dict[str, str], second: dict[str, str], split: str) -> None:
    models = {
        name: MODEL | {role: {"topic": topic} for role, topic in topics.items()}
        for name, topics in (("m", first), ("n", second))
    }
    for model in models.values():
        for role in ("events", "labels"):
            model[role] = {"key": "trip_id"} | model[role]
    file = folder / "driftline.yaml"
    sections = {"stream": {"split": split}, "local": {"served_models": ["m"]}}
    file.write_text(yaml.safe_dump({"models": models, **sections}))
    loader.load(file, environment={})


M = {"events": "a", "labels": "b", "predictions": "c"}
N = {"events": "d", "labels": "e", "predictions": "f"}


@pytest.mark.parametrize("split", ["none", "model"])
@pytest.mark.parametrize(
    ("role", "topic", "complaint"),
    [
        ("events", "b", r"b is the topic of models\.m\.labels already"),
        ("events", "c", r"c is the topic of models\.m\.predictions already"),
        ("labels", "a", r"a is the topic of models\.m\.events already"),
        ("labels", "c", r"c is the topic of models\.m\.predictions already"),
        ("predictions", "a", r"a is the topic of models\.m\.events already"),
        ("predictions", "b", r"b is the topic of models\.m\.labels already"),
        ("predictions", "c", r"c is the topic of models\.m\.predictions already"),
    ],
)
def test_models_do_not_share_a_topic_of_another_role(
    tmp_path: Path, split: str, role: str, topic: str, complaint: str
) -> None:
    with pytest.raises(ConfigurationError, match=rf"models\.n\.{role}\.topic: {complaint}"):
        two_models(tmp_path, M, N | {role: topic}, split)


@pytest.mark.parametrize("role", ["events", "labels", "predictions"])
@pytest.mark.parametrize("split", ["none", "model"])
def test_topics_of_two_models_do_not_collide_in_kafka(
    tmp_path: Path, role: str, split: str
) -> None:
    complaint = rf"models\.n\.{role}\.topic: x_y collides with x\.y, the topic of models\.m\.labels"
    with pytest.raises(ConfigurationError, match=complaint):
        two_models(tmp_path, M | {"labels": "x.y"}, N | {role: "x_y"}, split)


@pytest.mark.parametrize("role", ["events", "labels"])
def test_models_share_events_or_labels_only_in_jobs_of_their_own(tmp_path: Path, role: str) -> None:
    second = N | {role: M[role]}
    two_models(tmp_path, M, second, "model")
    with pytest.raises(ConfigurationError, match=rf"models\.n\.{role}\.topic"):
        two_models(tmp_path, M, second, "none")


@pytest.mark.parametrize("folder", ["b", "run2", "..a", "my.run"])
def test_a_folder_of_its_own_is_accepted(tmp_path: Path, folder: str) -> None:
    load(tmp_path, {}, local={"folder": folder})


def test_white_space_around_addresses_is_removed(tmp_path: Path) -> None:
    file = tmp_path / "driftline.yaml"
    addresses = {
        "kafka": {"bootstrap": " a:1 , b:2 "},
        "endpoints": {"flink": " http://f:1 ", "jobserver": "j:2 "},
    }
    file.write_text(yaml.safe_dump({"models": {"m": MODEL}, **addresses}))
    settings = loader.load(file, environment={})
    assert settings.kafka.bootstrap == "a:1,b:2"
    assert settings.endpoints.flink == "http://f:1"
    assert settings.endpoints.jobserver == "j:2"
