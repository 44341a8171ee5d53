"""Creates topics in Kafka, and repairs the settings of those that exist.

What differs is decided by `differences`, a pure function of a topic as it should be and as it is.
Kafka's settings are changed one by one (incremental), so that settings that Driftline does not know
stay. Partitions are added and never removed; replicas are only reported, because moving data
between brokers is the operator's decision. A longer retention is only reported too, because a
shorter one deletes records, unless the settings give it. The applications' topics are never
altered.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import structlog
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
)

from streaming.contracts.errors import ConfigurationError, UnavailableError
from streaming.contracts.topics import Topic, TopicDifference
from streaming.engines.kafka.clients import MAX_MESSAGE_BYTES, translated

log = structlog.get_logger(__name__)

Response = TypeVar("Response")

_TIMEOUT = 15.0
_PARTITIONS, _REPLICAS = "partitions", "replicas"
_RETENTION = "retention.ms"
_UNLIMITED = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicState:
    """A topic as Kafka has it."""

    partitions: int
    replicas: int
    """The smallest number of copies of a partition."""
    config: Mapping[str, str]


def desired_config(topic: Topic, replicas: int) -> dict[str, str]:
    """Kafka's settings of a topic with this number of copies."""
    compacted = topic.cleanup == "compact"
    return {
        **({"message.timestamp.type": "LogAppendTime"} if topic.broker_time else {}),
        "cleanup.policy": topic.cleanup,
        _RETENTION: str(_UNLIMITED if compacted else topic.retention_hours * 3_600_000),
        "max.message.bytes": str(MAX_MESSAGE_BYTES),
        # as many as the topic has, not as it should have: otherwise nothing could be written
        "min.insync.replicas": str(topic.min_in_sync(replicas)),
    }


def differences(topic: Topic, state: TopicState) -> tuple[TopicDifference, ...]:
    """How an existing topic differs from what it should be.

    Of a topic of the applications only the partitions and a shorter retention are named, and
    neither is repaired.
    """
    result = []
    if state.partitions != topic.partitions:
        grows = topic.altered and state.partitions < topic.partitions
        result.append(_difference(topic, _PARTITIONS, state.partitions, topic.partitions, grows))
    if not topic.altered:
        kept = float(state.config.get(_RETENTION, _UNLIMITED))
        expected = topic.retention_hours * 3_600_000
        if "delete" in state.config.get("cleanup.policy", "delete") and 0 <= kept < expected:
            result.append(_difference(topic, _RETENTION, math.trunc(kept), expected, False))
        return tuple(result)
    if state.replicas != topic.replicas:
        result.append(_difference(topic, _REPLICAS, state.replicas, topic.replicas, False))
    for name, value in desired_config(topic, state.replicas).items():
        actual = state.config.get(name, "")
        if actual == value:
            continue
        if name == _RETENTION and not topic.retention_given and _is_longer(actual, value):
            result.append(_difference(topic, name, actual, value, False, _KEPT_LONGER))
        else:
            result.append(_difference(topic, name, actual, value, True))
    return tuple(result)


_KEPT_LONGER = (
    "a shorter time deletes records, so it is left alone; give the time under `retention` in the "
    "settings to shorten it"
)


def _is_longer(actual: str, expected: str) -> bool:
    """Whether one value of ``retention.ms`` keeps records longer than another.

    >>> [_is_longer(actual, "1000") for actual in ("-1", "1001", "999", "")]
    [True, True, False, False]
    """
    try:
        kept = int(actual)
    except ValueError:
        return False
    return kept < 0 or 0 <= int(expected) < kept


def _difference(
    topic: Topic,
    setting: str,
    actual: object,
    expected: object,
    repaired: bool,
    reason: str = "",
) -> TopicDifference:
    return TopicDifference(
        topic=topic.name,
        setting=setting,
        actual=str(actual),
        expected=str(expected),
        repaired=repaired,
        reason=reason,
    )


class TopicAdmin:
    """Reads, creates and repairs topics through an `AdminClient`."""

    def __init__(self, admin: AdminClient, bootstrap: str) -> None:
        self._admin = admin
        self._bootstrap = bootstrap

    def ensure(self, topics: Sequence[Topic]) -> None:
        """See `RecordLog.ensure`; every change is logged."""
        brokers, states = self._read(topics, described=[t for t in topics if t.altered])
        missing = [topic for topic in topics if topic.name not in states]
        # those that exist have their copies already, also while one of the brokers is away
        self._refuse_too_few_brokers(missing, brokers)
        changes = [
            difference
            for topic in topics
            if topic.name in states
            for difference in differences(topic, states[topic.name])
        ]
        for change in changes:
            if change.setting == _PARTITIONS and not change.repaired:
                raise ConfigurationError(
                    f"Topic {change.topic} has {change.actual} partitions, not {change.expected}; "
                    f"delete the topic, or configure {change.actual} partitions."
                )
        if missing:
            self._create(missing)
        self._repair([change for change in changes if change.repaired])
        for change in changes:
            if change.reason:
                log.warning("topic.differs", difference=str(change))

    def differences(self, topics: Sequence[Topic]) -> tuple[TopicDifference, ...]:
        """See `RecordLog.differences`."""
        _, states = self._read(topics, described=topics)
        return tuple(
            difference
            for topic in topics
            for difference in (
                differences(topic, states[topic.name])
                if topic.name in states
                else (_difference(topic, "topic", "missing", "created", True),)
            )
        )

    def _refuse_too_few_brokers(self, topics: Sequence[Topic], brokers: int) -> None:
        replicas = max((topic.replicas for topic in topics), default=1)
        if replicas > brokers:
            raise ConfigurationError(
                f"kafka.replicas is {replicas}, and Kafka at {self._bootstrap} has {brokers} "
                f"broker(s): each copy needs one. Start more brokers, or set kafka.replicas to at "
                f"most {brokers}."
            )

    def _read(
        self, topics: Sequence[Topic], described: Sequence[Topic]
    ) -> tuple[int, dict[str, TopicState]]:
        """The number of brokers, and the state of each topic that exists.

        Only the settings of `described` topics are read: a user may be allowed to use a topic and
        not to see its settings.
        """
        metadata = self._request(lambda: self._admin.list_topics(timeout=_TIMEOUT))
        names = [topic.name for topic in topics if topic.name in metadata.topics]
        configs = self._configs(topic.name for topic in described if topic.name in names)
        states = {}
        for name in names:
            partitions = metadata.topics[name].partitions.values()
            states[name] = TopicState(
                partitions=len(partitions),
                replicas=min((len(partition.replicas) for partition in partitions), default=1),
                config=configs.get(name, {}),
            )
        return len(metadata.brokers), states

    def _configs(self, names: Iterable[str]) -> dict[str, dict[str, str]]:
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
        if not resources:
            return {}
        responses = self._admin.describe_configs(resources, request_timeout=_TIMEOUT)
        return {
            resource.name: {
                key: str(entry.value)
                for key, entry in self._request(partial(future.result, _TIMEOUT)).items()
            }
            for resource, future in responses.items()
        }

    def _repair(self, changes: Sequence[TopicDifference]) -> None:
        entries: dict[str, list[ConfigEntry]] = {}
        for change in changes:
            if change.setting == _PARTITIONS:
                more = [NewPartitions(change.topic, int(change.expected))]
                for future in self._admin.create_partitions(more).values():
                    self._request(partial(future.result, _TIMEOUT))
            else:
                entries.setdefault(change.topic, []).append(
                    ConfigEntry(
                        change.setting,
                        change.expected,
                        incremental_operation=AlterConfigOpType.SET,
                    )
                )
        if entries:
            resources = [
                ConfigResource(ResourceType.TOPIC, name, incremental_configs=settings)
                for name, settings in entries.items()
            ]
            for future in self._admin.incremental_alter_configs(resources).values():
                self._request(partial(future.result, _TIMEOUT))
        for change in changes:
            log.info(
                "topic.repaired",
                topic=change.topic,
                setting=change.setting,
                before=change.actual,
                now=change.expected,
            )

    def _create(self, topics: Sequence[Topic]) -> None:
        new_topics = [
            NewTopic(
                topic.name,
                num_partitions=topic.partitions,
                replication_factor=topic.replicas,
                config=desired_config(topic, topic.replicas),
            )
            for topic in topics
        ]
        created = self._admin.create_topics(new_topics, operation_timeout=_TIMEOUT)
        for name, future in created.items():
            try:
                future.result(_TIMEOUT)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise translated(error, self._bootstrap) from error
            self._await_topic(name)

    def _await_topic(self, name: str) -> None:
        """Wait until the broker's metadata shows a new topic; only then it can be used."""
        for _ in range(100):
            metadata = self._request(lambda: self._admin.list_topics(timeout=_TIMEOUT))
            if name in metadata.topics:
                return
            time.sleep(0.05)
        raise UnavailableError(f"Topic {name} was created but the broker does not show it.")

    def _request(self, request: Callable[[], Response]) -> Response:
        try:
            return request()
        except KafkaException as error:
            raise translated(error, self._bootstrap) from error
