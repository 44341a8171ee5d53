"""Topics of a real broker become what the settings say, and the users' own are left alone."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from deploy.records import reader
from streaming.contracts.errors import ConfigurationError
from streaming.contracts.records import Promotion
from streaming.contracts.topics import PROMOTIONS, Topic, applications_topic
from streaming.engines.kafka.log import KafkaLog
from streaming.engines.kafka.topics import (
    TopicAdmin,
    TopicState,
    desired_config,
    differences,
)
from tests.deploy.records.test_promotions import promotion
from tests.waiting import wait_for

DAY_MS = 86_400_000


def own(**fields: Any) -> Topic:
    return Topic(**{"name": f"own-{uuid.uuid4().hex[:8]}", "record": None, "key": "k", **fields})


def state(topic: Topic, *, partitions: int = 1, replicas: int = 1, **config: str) -> TopicState:
    values = desired_config(topic, replicas) | {k.replace("_", "."): v for k, v in config.items()}
    return TopicState(partitions=partitions, replicas=replicas, config=values)


def test_a_topic_as_it_should_be_has_no_difference() -> None:
    for topic in (own(), own(cleanup="compact", retention="for ever"), PROMOTIONS):
        assert differences(topic, state(topic)) == ()


@pytest.mark.parametrize(
    ("config", "setting"),
    [
        ({"retention_ms": "1"}, "retention.ms"),
        ({"retention_ms": "604800000"}, "retention.ms"),
        ({"cleanup_policy": "compact"}, "cleanup.policy"),
        ({"cleanup_policy": "compact,delete"}, "cleanup.policy"),
        ({"max_message_bytes": "1000"}, "max.message.bytes"),
        ({"min_insync_replicas": "2"}, "min.insync.replicas"),
    ],
)
def test_each_setting_that_differs_is_named_and_repaired(
    config: dict[str, Any], setting: str
) -> None:
    topic = own()
    (difference,) = differences(topic, state(topic, **config))
    assert (difference.setting, difference.repaired) == (setting, True)
    assert topic.name in str(difference)


@pytest.mark.parametrize("kept", ["-1", str(31 * DAY_MS), str(30 * DAY_MS + 1)])
def test_a_longer_retention_is_shortened_only_where_the_settings_give_it(kept: str) -> None:
    topic = own(retention_hours=24 * 30)
    (difference,) = differences(topic, state(topic, retention_ms=kept))
    assert (difference.actual, difference.repaired) == (kept, False)
    assert "deletes records" in str(difference)
    given = replace(topic, retention_given=True)
    (difference,) = differences(given, state(given, retention_ms=kept))
    assert (difference.expected, difference.repaired) == (str(30 * DAY_MS), True)


class TwoBrokers:
    """An `AdminClient` of a cluster that has two brokers left; it counts what is created."""

    def __init__(self, *topics: Topic) -> None:
        self.topics = {topic.name: topic for topic in topics}

    def list_topics(self, timeout: float) -> Any:
        partition = SimpleNamespace(replicas=[1, 2, 3])
        topics = {
            name: SimpleNamespace(partitions=dict.fromkeys(range(topic.partitions), partition))
            for name, topic in self.topics.items()
        }
        return SimpleNamespace(topics=topics, brokers={1: None, 2: None})

    def describe_configs(self, resources: Any, request_timeout: float) -> Any:
        def settings(name: str) -> Any:
            values = desired_config(self.topics[name], 3)
            entries = {key: SimpleNamespace(value=value) for key, value in values.items()}
            return SimpleNamespace(result=lambda timeout: entries)

        return {resource: settings(resource.name) for resource in resources}


def test_a_broker_that_is_away_does_not_matter_to_topics_that_exist() -> None:
    existing = [own(replicas=3, partitions=2), own(replicas=3, cleanup="compact")]
    admin = TopicAdmin(TwoBrokers(*existing), "k:1")
    admin.ensure(existing)
    with pytest.raises(ConfigurationError, match=r"kafka\.replicas is 3.* 2 broker"):
        admin.ensure([*existing, own(replicas=3)])


def test_copies_are_reported_and_never_demand_more_than_exist() -> None:
    topic = own(replicas=3)
    (difference,) = differences(topic, state(topic, replicas=1))
    assert (difference.setting, difference.repaired) == ("replicas", False)
    assert desired_config(topic, 3)["min.insync.replicas"] == "2"
    assert desired_config(topic, 1)["min.insync.replicas"] == "1"


def test_a_users_topic_is_only_reported() -> None:
    topic = applications_topic("trips", partitions=2)
    reported = differences(
        topic, state(topic, partitions=3, retention_ms="1", cleanup_policy="delete")
    )
    assert [(d.setting, d.repaired) for d in reported] == [
        ("partitions", False),
        ("retention.ms", False),
    ]
    assert differences(topic, state(topic, partitions=2, retention_ms="-1")) == ()
    assert differences(topic, state(topic, partitions=2, cleanup_policy="compact")) == ()


# ------------------------------------------------------------------ on a broker


@pytest.fixture
def log(broker: Any) -> Iterator[KafkaLog]:
    opened = KafkaLog(broker.bootstrap)
    yield opened
    opened.close()


def config(broker: Any, topic: str) -> dict[str, str]:
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    (future,) = admin.describe_configs([ConfigResource(ResourceType.TOPIC, topic)]).values()
    return {name: entry.value for name, entry in future.result(10).items()}


def create(broker: Any, topic: str, settings: dict[str, str], *, partitions: int = 1) -> None:
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    new = NewTopic(topic, num_partitions=partitions, replication_factor=1, config=settings)
    admin.create_topics([new])[topic].result(10)
    log = KafkaLog(broker.bootstrap)
    wait_for(lambda: bool(log.spans(topic)))
    log.close()


@pytest.mark.engine
def test_an_existing_topic_is_repaired_once_and_unknown_settings_stay(
    broker: Any, log: KafkaLog
) -> None:
    topic = own(partitions=3, retention_hours=24 * 64)
    create(
        broker,
        topic.name,
        {"retention.ms": "60000", "cleanup.policy": "compact", "segment.bytes": "2097152"},
    )
    before = {difference.setting for difference in log.differences([topic])}
    assert before >= {"partitions", "retention.ms", "cleanup.policy"}
    log.ensure([topic])
    wait_for(lambda: log.differences([topic]) == ())
    after = config(broker, topic.name)
    assert after["retention.ms"] == str(64 * DAY_MS)
    assert after["segment.bytes"] == "2097152"
    assert len(log.spans(topic.name)) == 3
    log.ensure([topic])
    assert config(broker, topic.name) == after


@pytest.mark.engine
def test_what_an_operator_keeps_longer_is_kept(broker: Any, log: KafkaLog) -> None:
    longer, unlimited = own(retention_hours=24), own(retention_hours=24)
    create(broker, longer.name, {"retention.ms": str(3 * DAY_MS)})
    create(broker, unlimited.name, {"retention.ms": "-1"})
    log.ensure([longer, unlimited])
    assert config(broker, longer.name)["retention.ms"] == str(3 * DAY_MS)
    assert config(broker, unlimited.name)["retention.ms"] == "-1"
    assert not any(d.repaired for d in log.differences([longer, unlimited]) if d.reason)
    given = replace(longer, retention_given=True)
    log.ensure([given])
    wait_for(lambda: config(broker, longer.name)["retention.ms"] == str(DAY_MS))


@pytest.mark.engine
def test_partitions_are_never_removed(broker: Any, log: KafkaLog) -> None:
    topic = own(partitions=1)
    create(broker, topic.name, {"retention.ms": "60000"}, partitions=2)
    with pytest.raises(ConfigurationError, match="has 2 partitions, not 1"):
        log.ensure([topic])
    assert config(broker, topic.name)["retention.ms"] == "60000"  # nothing is half repaired


@pytest.mark.engine
def test_a_users_topic_is_never_altered(broker: Any, log: KafkaLog) -> None:
    topic = applications_topic(f"trips-{uuid.uuid4().hex[:8]}", partitions=2)
    create(broker, topic.name, {"retention.ms": "60000"}, partitions=2)
    log.ensure([topic])
    assert config(broker, topic.name)["retention.ms"] == "60000"
    (difference,) = log.differences([topic])
    assert (difference.setting, difference.repaired) == ("retention.ms", False)


@pytest.mark.engine
@pytest.mark.parametrize("replicas", [2, 3])
def test_more_copies_than_brokers_are_refused(log: KafkaLog, replicas: int) -> None:
    topic = own(replicas=replicas)
    with pytest.raises(ConfigurationError, match=rf"kafka\.replicas is {replicas}.* 1 broker"):
        log.ensure([topic])
    assert log.spans(topic.name) == ()


@pytest.mark.engine
def test_every_promotion_survives_the_brokers_cleaner(broker: Any, log: KafkaLog) -> None:
    cleaned = {
        "cleanup.policy": "compact",
        "min.cleanable.dirty.ratio": "0.01",
        "segment.ms": "100",
        "max.compaction.lag.ms": "100",
        "delete.retention.ms": "0",
    }
    by_record = replace(PROMOTIONS, name=f"promotions-{uuid.uuid4().hex[:8]}")
    by_model = f"by-model-{uuid.uuid4().hex[:8]}"
    for name in (by_record.name, by_model):
        create(broker, name, cleaned)
    promotions = [promotion(version) for version in range(1, 9)]
    for record in (*promotions, promotions[0]):  # the first one twice
        log.append([record], topic=by_record)
        log.append_raw(by_model, [(b"m", str(record.version).encode())])

    def keys(topic: str) -> list[bytes | None]:
        return [m.key for span in log.spans(topic) for m in log.read(span) if m.key != b"other"]

    def cleaned_up() -> bool:
        """Whether the cleaner has come by; a write closes the segment before it."""
        for name in (by_record.name, by_model):
            log.append_raw(name, [(b"other", b"x")])
        return len(keys(by_model)) == 1 and len(keys(by_record.name)) == len(promotions)

    # keyed by model one record is left, keyed by promotion one of each
    wait_for(cleaned_up, seconds=90)
    (span,) = log.spans(by_record.name)
    kept = reader.read(log, span, Promotion, "m")
    assert sorted(record.version for record in kept) == list(range(1, 9))
