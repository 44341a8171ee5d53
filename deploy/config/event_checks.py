"""Rules of `driftline.yaml` about how records are read."""

from __future__ import annotations

from collections.abc import Iterator
from zoneinfo import available_timezones

from deploy.config.event_settings import RecordSettings
from deploy.config.model_settings import ModelSettings
from deploy.config.settings import Settings
from deploy.config.types import Problem
from retrain.models.code import load_code
from streaming.contracts.errors import ConfigurationError
from streaming.contracts.mapping import REGISTERED

_ROLES = ("events", "labels", "predictions")
_OF_NUMBERS = ("decimal", "length", "hour", "weekday")
"""Rules whose value is a number."""


def _topics(model: ModelSettings) -> Iterator[tuple[str, RecordSettings]]:
    for role in _ROLES:
        section = getattr(model, role)
        if section is not None:
            yield role, section


def _fields_are_named(model: ModelSettings) -> Iterator[Problem]:
    for section, field in (("events", "key"), ("events", "time")):
        if not getattr(getattr(model, section), field).strip():
            yield (section, field), "The name of a field is missing."


def _same_key(model: ModelSettings) -> Iterator[Problem]:
    events, labels = model.events, model.labels
    plain = events.key_from == labels.key_from == "field" and "." not in events.key + labels.key
    meant = "key_from" in labels.model_fields_set
    if plain and events.key != labels.key and not meant:
        yield (
            ("labels", "key"),
            f"events.key is {events.key!r} and labels.key {labels.key!r}; "
            "both must name the same field. If labels have another name for it, write "
            "key_from: field beside it.",
        )


def _paths(model: ModelSettings) -> Iterator[Problem]:
    known = available_timezones()
    for role, section in _topics(model):
        for name, field in section.fields.items():
            path = (role, "fields", name)
            if not field.path or any(not part for part in field.path.split(".")):
                yield (
                    (*path, "path"),
                    f"{field.path!r} is not a path such as trip.fare.amount.",
                )
            if field.zone not in known:
                yield (*path, "zone"), f"{field.zone!r} is not a time zone."


def _mapped_fields_exist(model: ModelSettings) -> Iterator[Problem]:
    """Needs the model's code, whose features have the names and kinds."""
    try:
        code = load_code(model.module)
    except ConfigurationError:
        return  # another check says so
    kinds = {spec.name: spec.kind for spec in code.features}
    lists = {spec.name for spec in code.features if spec.multivalent}
    allowed = {
        "events": frozenset(kinds),
        "labels": frozenset(code.label_columns),
        "predictions": frozenset(
            {"version", "prediction", model.experiments.user_field, model.rollout.slices.field}
            - {""}
        ),
    }
    for role, section in _topics(model):
        for name, field in section.fields.items():
            if name not in allowed[role]:
                yield (
                    (role, "fields", name),
                    f"The model has no such field; {role}.fields may name "
                    f"{', '.join(sorted(allowed[role]))}.",
                )
            elif kinds.get(name) == "text" and field.rule in _OF_NUMBERS:
                yield (
                    (role, "fields", name, "rule"),
                    f"{field.rule} gives a number, but {name} is a text.",
                )
            elif field.rule == "categories" and (role != "events" or name not in lists):
                yield (
                    (role, "fields", name, "rule"),
                    f"categories needs a feature of kind text that is multivalent; {name} is not.",
                )
    fields = model.events.fields
    for name in sorted(lists):
        if name not in fields or fields[name].rule != "categories":
            yield (
                ("events", "fields"),
                f"{name} is multivalent; give its path and the rule categories.",
            )


def _registry_is_named(settings: Settings) -> Iterator[Problem]:
    if settings.registry.url:
        return
    for name, model in settings.models.items():
        for role, section in _topics(model):
            if section.format in REGISTERED:
                yield (
                    ("models", name, role, "format"),
                    f"{section.format} needs a schema registry; set registry.url.",
                )


EVENT_CHECKS = (_registry_is_named,)
MODEL_EVENT_CHECKS = (_fields_are_named, _same_key, _paths)
CODE_CHECKS = (_mapped_fields_exist,)
