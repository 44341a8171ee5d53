"""Reads TFDV's schema text into the neutral `Schema`, and writes it back with changes.

This needs the protos of tensorflow_metadata only, neither TFDV nor TensorFlow.
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


def read_text(path: Path) -> str:
    """The file's text; raises `ConfigurationError` when it cannot be read."""
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"The schema {path} cannot be read: {error}.") from error


def parse(text: str, name: str = "The schema") -> Any:
    """The schema proto; raises `ConfigurationError` when the text cannot be parsed."""
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    try:
        return text_format.Parse(text, schema_pb2.Schema())
    except text_format.ParseError as error:
        raise ConfigurationError(
            f"{name} is not a schema ({error}); write it with TFDV."
        ) from error


def checked(text: str, name: str) -> str:
    """The text, if events can be validated against it; raises `ConfigurationError` if not."""
    if _SERVING not in parse(text, name).default_environment:
        raise ConfigurationError(
            f"{name} does not have the environment {_SERVING}, in which events are judged; add "
            f'default_environment: "{_SERVING}" to it.'
        )
    return text


def read_schema(path: Path) -> Schema:
    """The file's rules for served events (environment SERVING)."""
    return to_schema(read_text(path))


def schema_of(version: SchemaVersion) -> Schema:
    """A version's rules for served events."""
    return to_schema(version.text, version.version)


def to_schema(text: str, version: int = 0) -> Schema:
    """A schema text's rules for served events; raises `ConfigurationError`."""
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


def apply_changes(text: str, changes: Iterable[SchemaChange]) -> str:
    """The text with the safe changes applied; its comments are lost.

    Raises
    ------
    ConfigurationError
        When a new column has a type that no column can have.
    """
    from google.protobuf import text_format

    proto = parse(text)
    features = {feature.name: feature for feature in proto.feature}
    shared = {domain.name: domain for domain in proto.string_domain}
    for change in changes:
        feature = features.get(change.feature)
        if not change.safe:
            continue
        if change.act in ("add_column", "ignore_column") and feature is None:
            _add_column(proto, change)
        elif change.act == "relax_presence" and feature is not None:
            feature.presence.min_fraction = change.min_fraction or 0.0
        elif change.act == "extend_domain" and feature is not None:
            domain = shared.get(feature.domain, feature.string_domain)
            domain.value.extend(v for v in change.values if v not in domain.value)
    return str(text_format.MessageToString(proto))


def _add_column(proto: Any, change: SchemaChange) -> None:
    """Add an optional column: allowed in events and examples, required in neither.

    A column to ignore is disabled, so that no validation and no parsing of examples considers it.
    """
    from tensorflow_metadata.proto.v0 import schema_pb2

    if change.act == "add_column" and change.type not in _TYPES:
        raise ConfigurationError(
            f"The column {change.feature} cannot be added with the type {change.type!r}; a column "
            f"holds {', '.join(_TYPES)}. `ignore_column` makes it known without a type."
        )
    feature = proto.feature.add(name=change.feature)
    if change.act == "ignore_column":
        feature.type = schema_pb2.BYTES
        feature.lifecycle_stage = schema_pb2.LifecycleStage.Value("DISABLED")
        return
    feature.type = schema_pb2.FeatureType.Value(_TYPES[change.type])
    feature.presence.min_count = 0
    feature.value_count.min = feature.value_count.max = 1
