"""The mappings of a model's topics, from its settings."""

from __future__ import annotations

from collections.abc import Mapping

from deploy.config.event_settings import FieldSettings
from deploy.config.model_settings import ModelSettings
from streaming.contracts.mapping import FieldRule, RecordMapping


def events_mapping(model: ModelSettings) -> RecordMapping:
    """How the model's events are read; key and time are at the paths that name them."""
    events = model.events
    return RecordMapping(
        format=events.format,
        key_from=events.key_from,
        time_format=events.time_format,
        fields=_rules(events.fields),
        refused_schemas=events.refused_schemas,
    )


def labels_mapping(model: ModelSettings) -> RecordMapping:
    """How the model's labels are read; they have no time of their own."""
    labels = model.labels
    return RecordMapping(
        format=labels.format,
        key="" if labels.key == model.events.key else labels.key,
        key_from=labels.key_from,
        time_format="none",
        fields=_rules(labels.fields),
        refused_schemas=labels.refused_schemas,
    )


def predictions_mapping(model: ModelSettings) -> RecordMapping:
    """How served predictions of the model are read."""
    events, predictions = model.events, model.predictions
    if predictions is None:
        return RecordMapping()
    return RecordMapping(
        format=predictions.format,
        key=predictions.key or "",
        key_from=predictions.key_from or events.key_from,
        time=predictions.time or "",
        time_format=predictions.time_format or events.time_format,
        fields=_rules(predictions.fields),
        refused_schemas=predictions.refused_schemas,
    )


def _rules(fields: Mapping[str, FieldSettings]) -> tuple[FieldRule, ...]:
    return tuple(
        FieldRule(
            name=name,
            path=field.path,
            rule=field.rule,
            time_format=field.time_format,
            zone=field.zone,
        )
        for name, field in fields.items()
    )
