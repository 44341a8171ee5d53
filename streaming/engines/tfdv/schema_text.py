"""TFDV's schema text, read into the neutral form and written back with changes.

Needs the schema's protos only, no TFDV and no TensorFlow.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from streaming.contracts.errors import ConfigurationError
from streaming.contracts.ids import digest
from streaming.contracts.records import SchemaChange, SchemaVersion
from streaming.schema import Column, Schema

_SERVING = "SERVING"
_TYPES = {"integer": "INT", "number": "FLOAT", "text": "BYTES"}


def text_of(path: Path) -> str:
    """The file's text; raises `ConfigurationError` when it cannot be read."""
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"The schema {path} cannot be read: {error}.") from error


def parse(text: str, name: str = "The schema") -> Any:
    """The proto; raises `ConfigurationError` when the text is none."""
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    try:
        return text_format.Parse(text, schema_pb2.Schema())
    except text_format.ParseError as error:
        raise ConfigurationError(f"{name} is no schema ({error}); write it with TFDV.") from error


def usable(text: str, name: str) -> str:
    """The text, if events can be held against it; raises `ConfigurationError`."""
    if _SERVING not in parse(text, name).default_environment:
        raise ConfigurationError(
            f"{name} does not know the environment {_SERVING}, in which events are judged; add "
            f'default_environment: "{_SERVING}" to it.'
        )
    return text


def read(path: Path) -> Schema:
    """What the file promises about served events (environment SERVING)."""
    return neutral(text_of(path))


def of_version(version: SchemaVersion) -> Schema:
    """What a version promises."""
    return neutral(version.text, version.version)


def neutral(text: str, version: int = 0) -> Schema:
    """What a schema's text promises about served events; raises `ConfigurationError`."""
    from tensorflow_metadata.proto.v0 import schema_pb2

    proto = parse(text)
    shared = {domain.name: tuple(domain.value) for domain in proto.string_domain}
    columns = tuple(
        Column(
            name=feature.name,
            min_fraction=feature.presence.min_fraction,
            values=tuple(feature.string_domain.value) or shared.get(feature.domain, ()),
            domain_mass=feature.distribution_constraints.min_domain_mass,
            deprecated=feature.deprecated
            or feature.lifecycle_stage == schema_pb2.LifecycleStage.Value("DEPRECATED"),
        )
        for feature in proto.feature
        if _SERVING not in feature.not_in_environment
    )
    return Schema(columns=columns, digest=digest(text.encode()), version=version)


def changed(text: str, changes: Iterable[SchemaChange]) -> str:
    """The text with the safe changes made; its comments are lost."""
    from google.protobuf import text_format

    proto = parse(text)
    features = {feature.name: feature for feature in proto.feature}
    shared = {domain.name: domain for domain in proto.string_domain}
    for change in changes:
        feature = features.get(change.feature)
        if not change.safe:
            continue
        if change.act == "add_column" and feature is None:
            _add(proto, change)
        elif change.act == "relax_presence" and feature is not None:
            feature.presence.min_fraction = change.min_fraction or 0.0
        elif change.act == "extend_domain" and feature is not None:
            domain = shared.get(feature.domain, feature.string_domain)
            domain.value.extend(v for v in change.values if v not in domain.value)
    return str(text_format.MessageToString(proto))


def _add(proto: Any, change: SchemaChange) -> None:
    """An optional column: expected nowhere, allowed in events and examples."""
    from tensorflow_metadata.proto.v0 import schema_pb2

    made = proto.feature.add(name=change.feature)
    made.type = schema_pb2.FeatureType.Value(_TYPES[change.type])
    made.presence.min_count = 0
    made.value_count.min = made.value_count.max = 1
