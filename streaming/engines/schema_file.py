"""TFDV's schema file, read into the neutral form and written back with changes.

Needs the schema's protos only, no TFDV and no TensorFlow.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from streaming.contracts.errors import Misconfigured
from streaming.schema import Change, Column, Schema

_SERVING = "SERVING"


def parse(path: Path) -> Any:
    """The proto; raises `Misconfigured` when the file is none."""
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    try:
        return text_format.Parse(path.read_text(), schema_pb2.Schema())
    except (OSError, text_format.ParseError) as error:
        raise Misconfigured(
            f"The schema {path} cannot be read ({error}); write it with TFDV."
        ) from error


def read(path: Path) -> Schema:
    """What the file promises about served events (environment SERVING)."""
    from tensorflow_metadata.proto.v0 import schema_pb2

    proto = parse(path)
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
    return Schema(columns=columns, digest=hashlib.sha256(path.read_bytes()).hexdigest())


def changed(path: Path, changes: Iterable[Change]) -> str:
    """The file's text with the safe changes made; its comments are lost."""
    from google.protobuf import text_format

    proto = parse(path)
    features = {feature.name: feature for feature in proto.feature}
    shared = {domain.name: domain for domain in proto.string_domain}
    for change in changes:
        feature = features.get(change.feature)
        if feature is None or not change.safe:
            continue
        if change.act == "relax_presence":
            feature.presence.min_fraction = change.min_fraction or 0.0
        elif change.act == "extend_domain":
            domain = shared.get(feature.domain, feature.string_domain)
            domain.value.extend(v for v in change.values if v not in domain.value)
    return str(text_format.MessageToString(proto))
