"""Guesses a project of a topic's newest events, and of the labels in another topic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from deploy.project.column_rules import ColumnGuess
from deploy.project.create import converters, files_of
from deploy.project.csv_guess import DataGuess
from deploy.project.guess import ProjectGuess, guess_project
from deploy.project.headers import Header, is_usable
from deploy.project.label_rules import TaskKind
from deploy.project.profile import profile_column
from deploy.project.settings_text import Topics
from deploy.project.topic_sample import columns_of, join_labels, kinds_of, read_newest
from deploy.project.values import convert
from streaming.contracts.errors import ConfigurationError
from streaming.contracts.log import RecordLog

_NESTED = {
    "object": "an object; take its fields by path in models.NAME.events",
    "list": "a list; take its length or its values by rule in models.NAME.events",
    "boolean": "true or false; read it by rule in models.NAME.events, or send 1 and 0",
    "mixed": "values of several JSON types",
}
"""JSON kind → why its field cannot be a feature by itself."""


def guess_topic(
    log: RecordLog,
    topic: str,
    *,
    labels_topic: str | None = None,
    label: str | None = None,
    task: TaskKind | None = None,
) -> tuple[DataGuess, list[dict[str, Any]]]:
    """The guess of a topic's newest events, and these events with their labels.

    Raises
    ------
    NotFoundError, ConfigurationError
        When there are no messages, or no model can be made of them.
    """
    messages = read_newest(log, topic)
    rows, key = messages.rows, None
    if labels_topic is not None:
        if label is None:
            raise ConfigurationError("--labels-topic needs --label FIELD, the field to predict.")
        rows, key = join_labels(rows, read_newest(log, labels_topic).rows, label)
    cells, kinds = columns_of(rows), kinds_of(rows)
    profiles = tuple(profile_column(name, name, column) for name, column in cells.items())
    guess = guess_project(profiles, len(rows), label=label, task=task)
    guess = _as_json(guess, kinds)
    if key is not None:
        guess = _with_key(guess, key, labels_topic or "")
    notes = [f"{messages.unusable} message(s) are no JSON objects."] if messages.unusable else []
    if labels_topic is None:
        notes.append(
            f"The label is a field of the events. Send labels apart, with the same key, once they "
            f"are known: {guess.label.name} never is an input of a prediction."
        )
    data = DataGuess(
        source=f"the newest messages of {topic}",
        headers=tuple(Header(name, name) for name in cells),
        profiles=profiles,
        guess=guess,
        notes=tuple(notes),
    )
    return data, rows


def topic_project(
    model: str,
    package: str,
    log: RecordLog,
    topics: Topics,
    *,
    label: str | None,
    task: TaskKind | None,
) -> tuple[DataGuess, dict[str, str]]:
    """The guess of a topic, and the files of the project."""
    data, rows = guess_topic(
        log, topics.events, labels_topic=topics.labels or None, label=label, task=task
    )
    sample = convert(columns_of(rows), converters(data.guess))
    named = replace(topics, labels=topics.labels or f"{model}.labels")
    return data, files_of(model, package, data.guess, sample, named)


def _as_json(guess: ProjectGuess, kinds: Mapping[str, str]) -> ProjectGuess:
    """The guess with the kinds that JSON values have: a number in quotes is text."""
    features, unused = [], list(guess.unused)
    for feature in guess.features:
        kind = kinds.get(feature.name, "")
        if kind in _NESTED or not is_usable(feature.name):
            reason = _NESTED.get(kind, "not a name that a tensor can have; map it in events")
            unused.append(replace(feature, use="none", reason=reason))
        elif kind == "text" and feature.kind != "text":
            features.append(_as_text(feature))
        else:
            features.append(feature)
    if not features:
        raise ConfigurationError(
            "No field can be a feature: "
            + "; ".join(f"{column.name}: {column.reason}" for column in unused)
            + "."
        )
    time_form, reason = guess.time_form, guess.time_reason
    if time_form is not None and time_form != "epoch seconds":
        reason = f"{reason}; models.NAME.events must say how it is read"
    return replace(guess, features=tuple(features), unused=tuple(unused), time_reason=reason)


def _as_text(feature: ColumnGuess) -> ColumnGuess:
    reason = f"text in JSON; {feature.reason}"
    return replace(
        feature, kind="text", categorical=True, number_form=None, truth=None, reason=reason
    )


def _with_key(guess: ProjectGuess, key: str, labels_topic: str) -> ProjectGuess:
    """The guess with the field as its key by which labels were joined."""
    return replace(
        guess,
        key=key,
        key_reason=f"labels of {labels_topic} have the same field",
        features=tuple(feature for feature in guess.features if feature.name != key),
        unused=tuple(column for column in guess.unused if column.name != key),
    )
