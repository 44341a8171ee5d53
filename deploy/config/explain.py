"""What each key of `driftline.yaml` means: its value, default and description, as flat rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from deploy.config.settings import Settings
from deploy.config.types import Section


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """One key."""

    key: str
    """Dotted path in the file."""
    value: str
    """Value in force, as it is written in the file."""
    default: str
    """Default, or ``required``."""
    meaning: str
    """Description of the key."""


def explain(settings: Settings) -> list[Explained]:
    """One row for each key, in the order of the settings.

    >>> from deploy.config import loader, paths
    >>> rows = explain(loader.load(paths.DEFAULT_FILE, environment={}))
    >>> next(row.value for row in rows if row.key.endswith("rollout.gates.latency_p99"))
    '200ms'
    """
    return list(_section(settings, ""))


def _section(section: Section, prefix: str) -> Iterator[Explained]:
    values, defaults = section.model_dump(mode="json"), _defaults(type(section))
    for name, field in type(section).model_fields.items():
        value, key = getattr(section, name), f"{prefix}{name}"
        if isinstance(value, Section):
            yield from _section(value, f"{key}.")
        elif isinstance(value, Mapping):
            for item, inner in value.items():
                yield from _section(inner, f"{key}.{item}.")
        else:
            yield Explained(
                key=key,
                value=_text(values[name]),
                default=_text(defaults[name]) if name in defaults else "required",
                meaning=" ".join((field.description or "").split()),
            )


def describe(section: type[Section], prefix: str = "") -> Iterator[Explained]:
    """The same rows without values, for the reference page; a model is called ``NAME``.

    A list of sections is one row, whose meaning names their keys.
    """
    defaults = _defaults(section)
    for name, field in section.model_fields.items():
        key, inner = f"{prefix}{name}", _inner_section(field.annotation)
        if inner is not None and get_origin(field.annotation) is not tuple:
            is_mapping = get_origin(field.annotation) is dict
            yield from describe(inner, f"{key}.NAME." if is_mapping else f"{key}.")
        else:
            yield Explained(
                key=key,
                value="",
                default=_text(defaults[name]) if name in defaults else "required",
                meaning=" ".join((field.description or "").split()),
            )


def json_schema() -> dict[str, Any]:
    """The JSON Schema of the file: descriptions of every key, defaults as they are written."""
    schema = Settings.model_json_schema(mode="validation")
    sections = {"Settings": schema} | schema["$defs"]
    for section in _sections(Settings):
        properties, defaults = sections[section.__name__]["properties"], _defaults(section)
        for name, field in section.model_fields.items():
            properties[name].setdefault("description", field.description)
            if name in defaults:
                properties[name]["default"] = defaults[name]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _sections(section: type[Section]) -> Iterator[type[Section]]:
    yield section
    for field in section.model_fields.values():
        inner = _inner_section(field.annotation)
        if inner is not None:
            yield from _sections(inner)


def _inner_section(kind: Any) -> type[Section] | None:
    """The section that a field holds: itself, as the value of a mapping, or optionally."""
    return next(
        (
            part
            for part in (kind, *get_args(kind))
            if isinstance(part, type) and issubclass(part, Section)
        ),
        None,
    )


def _defaults(section: type[Section]) -> dict[str, Any]:
    """The section's defaults as the file writes them; required keys are absent."""
    defaults = {
        name: field.get_default()
        for name, field in section.model_fields.items()
        if not field.is_required()
    }
    return section.model_construct(**defaults).model_dump(mode="json", include=set(defaults))


def _text(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, str):
        return value or '""'
    if isinstance(value, list):
        return f"[{', '.join(map(_text, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)
