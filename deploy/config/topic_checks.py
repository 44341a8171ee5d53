"""Rules of `driftline.yaml` about the names of the applications' topics.

Kafka's metrics write `.` as `_`, so it refuses a topic whose name differs from an existing one
only in these characters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from deploy.config.model_settings import ModelSettings
from deploy.config.settings import Settings
from deploy.config.types import Problem
from streaming.contracts.topics import RECORD_TOPICS, RETRAIN_CLAIMS

_NAME = re.compile(r"[A-Za-z0-9._-]{1,249}")
_KAFKA_PREFIX = "__"
_DAEMON_PREFIX = "driftline-daemon-"
_OWN = {topic.name.replace(".", "_"): topic.name for topic in (*RECORD_TOPICS, RETRAIN_CLAIMS)}
_ROLES = ("events", "labels", "predictions")


def _names_are_free(model: ModelSettings) -> Iterator[Problem]:
    for role, topic in _topics(model):
        if not _NAME.fullmatch(topic) or topic in (".", ".."):
            yield (role, "topic"), f"{topic!r} is not a name that Kafka accepts for a topic."
        elif topic.startswith(_KAFKA_PREFIX):
            yield (role, "topic"), f"{topic} is a name for Kafka's own topics; choose another."
        elif _collision_key(topic) in _OWN or topic.startswith(_DAEMON_PREFIX):
            yield (role, "topic"), f"{topic} is a topic of Driftline itself; choose another."


def _roles_differ(model: ModelSettings) -> Iterator[Problem]:
    first: dict[str, tuple[str, str]] = {}
    for role, topic in _topics(model):
        earlier, name = first.setdefault(_collision_key(topic), (role, topic))
        if earlier == role:
            continue
        if name == topic:
            yield (role, "topic"), f"{topic} is the topic of {earlier} already."
        else:
            yield (role, "topic"), _collision(topic, name, earlier)


def _models_differ(settings: Settings) -> Iterator[Problem]:
    """Models of different jobs may read the same events and labels; nothing else is shared."""
    first: dict[str, tuple[str, str, str]] = {}
    shared = ("events", "labels") if settings.stream.split == "model" else ()
    for model_name, model in settings.models.items():
        for role, topic in _topics(model):
            owner, earlier, name = first.setdefault(
                _collision_key(topic), (model_name, role, topic)
            )
            if owner == model_name:
                continue
            path = ("models", model_name, role, "topic")
            if name != topic:
                yield path, _collision(topic, name, f"models.{owner}.{earlier}")
            elif role == earlier == "events" and not shared:
                yield (
                    path,
                    f"{owner} and {model_name} read {topic}: models of one stream job need "
                    "topics of their own; stream.split: model gives each model a job.",
                )
            elif role != earlier or role not in shared:
                yield path, f"{topic} is the topic of models.{owner}.{earlier} already."


def _topics(model: ModelSettings) -> Iterator[tuple[str, str]]:
    """Role and name of each topic whose name is valid as a setting."""
    for role in _ROLES:
        topic = getattr(getattr(model, role, None), "topic", None)
        if topic is not None:
            yield role, topic


def _collision_key(topic: str) -> str:
    return topic.replace(".", "_")


def _collision(topic: str, name: str, owner: str) -> str:
    return (
        f"{topic} collides with {name}, the topic of {owner}: Kafka treats dots and underscores "
        "in the names of topics as the same."
    )


TOPIC_CHECKS: tuple[Callable[[Settings], Iterator[Problem]], ...] = (_models_differ,)
"""Checks of the whole file."""
MODEL_TOPIC_CHECKS: tuple[Callable[[ModelSettings], Iterator[Problem]], ...] = (
    _names_are_free,
    _roles_differ,
)
"""Checks of one model."""
