"""Guesses a project of a topic's newest records, and of the labels in another topic."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from deploy.project.column_rules import ColumnGuess, guess_column
from deploy.project.create import files_with
from deploy.project.csv_guess import DataGuess
from deploy.project.guess import ProjectGuess
from deploy.project.headers import Header
from deploy.project.label_tasks import MIN_ROWS, TaskKind
from deploy.project.profile import ColumnProfile, profile_column
from deploy.project.settings_text import Topics
from deploy.project.topic_columns import PathColumn, columns_of
from deploy.project.topic_label import TopicLabel, label_of
from deploy.project.topic_roles import KeyGuess, TimeGuess, join, key_of, time_of
from deploy.project.topic_rules import FeatureField, field_of
from deploy.project.topic_sample import Sample, read_newest
from deploy.project.topic_trial import Trial, tried
from deploy.project.values import feature_spec
from streaming.contracts.errors import ConfigurationError
from streaming.contracts.log import RecordLog
from streaming.contracts.mapping import REGISTERED, RecordMapping
from streaming.contracts.model import ModelContract
from streaming.contracts.registered import RegistryAddress, SchemaSource
from streaming.contracts.values import is_missing

if TYPE_CHECKING:
    from deploy.app.deployment import Deployment


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicGuess:
    """The project of a topic."""

    data: DataGuess
    contract: ModelContract
    """Features and mappings, as far as the topic decides them."""
    label: TopicLabel
    labels_key: KeyGuess | None
    """The key of the label records; None where labels have no topic yet."""
    trial: Trial
    """What becomes of the newest records under the guess."""


@dataclass(frozen=True, slots=True)
class _Labelled:
    """The events that have a label, with it."""

    events: Sample
    columns: tuple[PathColumn, ...]
    label: TopicLabel
    values: list[Any]
    """The label of each event, as the record has it."""
    key: KeyGuess | None
    labels_key: KeyGuess | None
    labels_format: RecordMapping


def guess_topic(
    log: RecordLog,
    topic: str,
    *,
    labels_topic: str | None = None,
    label: str | None = None,
    task: TaskKind | None = None,
    schemas: SchemaSource | None = None,
) -> TopicGuess:
    """The guess of a topic's newest records.

    Raises
    ------
    NotFoundError, ConfigurationError
        When there are no messages, or no model can be made of them.
    TemporaryError
        When a schema cannot be had from the registry now.
    """
    events = read_newest(log, topic, schemas)
    if labels_topic is None:
        labelled = _own_label(events, label, task)
    else:
        labels = read_newest(log, labels_topic, schemas)
        labelled = _joined(events, labels, label, task)
    if len(labelled.events.documents) < MIN_ROWS:
        raise ConfigurationError(
            f"The data have {len(labelled.events.documents)} rows; at least {MIN_ROWS} are needed."
        )
    columns = labelled.columns
    profiles = {
        column.name: profile_column(column.name, column.path, column.cells()) for column in columns
    }
    guesses = {name: guess_column(profile) for name, profile in profiles.items()}
    key = labelled.key or key_of(labelled.events, columns, guesses)
    at = time_of(labelled.events, columns, guesses)
    fields = {
        column.name: field_of(column, guesses[column.name])
        for column in columns
        if column.name not in (key.column, at.column)
    }
    guess = _project(labelled, key, at, fields)
    contract = _contract(labelled, key, at, guess, fields, labels_topic or "")
    trial = tried(labelled.events, contract, schemas, now=time.time())
    if not trial.events:
        raise ConfigurationError(
            f"None of the newest events of {topic} could be read. The key would be {key.path} "
            f"({key.reason}), the time {at.path} ({at.reason}). {' '.join(trial.notes())}"
        )
    trial.labels = [labelled.values[row] for row in trial.rows]
    data = DataGuess(
        source=f"the newest messages of {topic}",
        headers=tuple(Header(column.path, column.name) for column in columns),
        profiles=tuple(profiles.values()),
        guess=guess,
        notes=tuple(_notes(labelled, guess, key, at, trial, labels_topic)),
    )
    return TopicGuess(
        data=data,
        contract=contract,
        label=labelled.label,
        labels_key=labelled.labels_key,
        trial=trial,
    )


def topic_project(
    model: str,
    package: str,
    deployment: Deployment,
    topics: Topics,
    *,
    label: str | None,
    task: TaskKind | None,
) -> tuple[DataGuess, dict[str, str]]:
    """The guess of a topic, and the files of the project.

    `topics.registry` is the address of the schema registry; empty for that of the settings.
    """
    schemas, address = _registry(deployment, topics.registry)
    with deployment.log() as log:
        project = guess_topic(
            log, topics.events, labels_topic=topics.labels or None, label=label, task=task,
            schemas=schemas,
        )  # fmt: skip
    guess, trial, chosen = project.data.guess, project.trial, project.label
    sample = {spec.name: trial.column(spec.name) for spec in project.contract.features}
    sample[chosen.spec.name] = [chosen.value(value) for value in trial.labels]
    named = replace(
        topics,
        labels=topics.labels or f"{model}.labels",
        contract=project.contract,
        labels_key=project.labels_key.path if project.labels_key else "",
        registry=address if project.contract.events.format in REGISTERED else "",
    )
    specs = [feature_spec(feature) for feature in guess.features]
    return project.data, files_with(model, package, guess, sample, specs, chosen.spec, named)


def _registry(deployment: Deployment, url: str) -> tuple[SchemaSource | None, str]:
    """The schema registry and its address; None where neither option nor setting names one."""
    from streaming.engines.registry import schema_source

    if url:
        return schema_source(RegistryAddress(url=url)), url
    known = deployment.registry
    return deployment.schemas(), known.url if known else ""


def _own_label(events: Sample, label: str | None, task: TaskKind | None) -> _Labelled:
    """The label is a field of the events."""
    columns = columns_of(events.documents)
    profiles, guesses = _profiled(columns)
    chosen_label = label_of(columns, profiles, guesses, named=label, task=task)
    (column,) = (column for column in columns if column.name == chosen_label.spec.name)
    others = tuple(other for other in columns if other is not column)
    # labels that come apart are flat, whatever the events are
    flat = (
        replace(chosen_label, rule=None)
        if chosen_label.rule and chosen_label.rule.rule == "value"
        else chosen_label
    )
    return _Labelled(events, others, flat, column.values, None, None, RecordMapping())


def _joined(events: Sample, labels: Sample, label: str | None, task: TaskKind | None) -> _Labelled:
    """The label is a field of the records of another topic, joined by the key."""
    if label is None:
        raise ConfigurationError("--labels-topic needs --label FIELD, the field to predict.")
    label_columns = columns_of(labels.documents)
    named = next((column for column in label_columns if label in (column.path, column.name)), None)
    if named is None:
        names = ", ".join(sorted(column.path for column in label_columns))
        raise ConfigurationError(f"No label record has the field {label!r}; they have {names}.")
    others = [column for column in label_columns if column is not named]
    key, labels_key, rows = join(events, columns_of(events.documents), labels, others)
    kept = [
        (at, row)
        for at, row in enumerate(rows)
        if row is not None and not is_missing(named.values[row])
    ]
    chosen = replace(
        events,
        messages=[events.messages[at] for at, _ in kept],
        documents=[events.documents[at] for at, _ in kept],
    )
    column = replace(named, values=[named.values[row] for _, row in kept])
    profiles, guesses = _profiled((column,))
    chosen_label = label_of((column,), profiles, guesses, named=column.name, task=task)
    # the label must not be a feature, should the events have it too
    columns = tuple(
        one for one in columns_of(chosen.documents) if one.name != chosen_label.spec.name
    )
    mapping = RecordMapping(
        format=labels.format, key_from=labels_key.key_from, time_format="none",
        fields=() if chosen_label.rule is None else (chosen_label.rule,),
    )  # fmt: skip
    return _Labelled(chosen, columns, chosen_label, column.values, key, labels_key, mapping)


def _profiled(
    columns: tuple[PathColumn, ...],
) -> tuple[list[ColumnProfile], dict[str, ColumnGuess]]:
    profiles = [profile_column(column.name, column.path, column.cells()) for column in columns]
    return profiles, {profile.name: guess_column(profile) for profile in profiles}


def _project(
    labelled: _Labelled, key: KeyGuess, at: TimeGuess, fields: Mapping[str, FeatureField]
) -> ProjectGuess:
    guesses = [field.guess for field in fields.values()]
    features = tuple(guess for guess in guesses if guess.use == "feature")
    if not features:
        raise ConfigurationError(
            "No field can be a feature: "
            + "; ".join(f"{guess.original}: {guess.reason}" for guess in guesses)
            + "."
        )
    rows = len(labelled.events.documents)
    return ProjectGuess(
        rows=rows,
        sampled=rows,
        label=labelled.label.guess,
        key=key.path,
        key_reason=key.reason,
        time=at.path,
        time_reason=at.reason,
        time_form=at.time_format,
        features=features,
        unused=tuple(_unused(guess) for guess in guesses if guess.use != "feature"),
    )


def _unused(guess: ColumnGuess) -> ColumnGuess:
    more = {
        "id": "; another field is the key",
        "time": "; not the time of the event. Map its hour or weekday by rule, if it matters",
    }
    return replace(guess, reason=guess.reason + more.get(guess.use, ""))


def _contract(
    labelled: _Labelled,
    key: KeyGuess,
    at: TimeGuess,
    guess: ProjectGuess,
    fields: Mapping[str, FeatureField],
    labels_topic: str,
) -> ModelContract:
    rules = [fields[feature.name].rule for feature in guess.features]
    events = RecordMapping(
        format=labelled.events.format,
        key_from=key.key_from,
        time_format=at.time_format,
        fields=tuple(rule for rule in rules if rule is not None),
    )
    return ModelContract(
        model="",
        module="",
        events_topic=labelled.events.topic,
        labels_topic=labels_topic,
        key=key.path,
        time=at.path,
        features=tuple(feature_spec(feature) for feature in guess.features),
        events=events,
        labels=_labels_mapping(labelled),
    )


def _labels_mapping(labelled: _Labelled) -> RecordMapping:
    rule = labelled.label.rule
    if labelled.labels_key is not None or rule is None:
        return labelled.labels_format
    flat = type(rule)(name=rule.name, path=rule.name, rule=rule.rule)
    return RecordMapping(time_format="none", fields=(flat,))


def _notes(
    labelled: _Labelled,
    guess: ProjectGuess,
    key: KeyGuess,
    at: TimeGuess,
    trial: Trial,
    labels_topic: str | None,
) -> list[str]:
    events = labelled.events
    notes = [f"Format: {events.reason}."] if events.reason else []
    if events.unusable:
        words = "are no JSON objects" if events.format == "json" else f"are no {events.format}"
        notes.append(f"{events.unusable} message(s) {words}.")
    if not key.column:
        place = "Kafka's key" if key.key_from == "kafka-key" else f"a field {key.path}"
        notes.append(f"The key of an event is {place}: {key.reason}.")
    if not at.column:
        notes.append(f"The time of an event is the broker's: {at.reason}.")
    if labels_topic is None:
        notes.append(
            f"The label is a field of the events. Send labels apart, with the same key, once they "
            f"are known: {guess.label.name} never is an input of a prediction."
        )
    return [*notes, *trial.notes()]
