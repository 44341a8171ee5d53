"""Infers a schema of sample rows with TFDV, and completes what a sample cannot tell.

TFDV gives types, categories and presence. A column without values would get no type, every column
is a scalar here, and the environments separate what events have from what only training has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from streaming.contracts.model import FeatureKind, FeatureSpec

Cell = int | float | str | None
SERVING, TRAINING = "SERVING", "TRAINING"
MIN_DOMAIN_MASS = 0.99
"""Share of a text's values that must be known categories."""
MAX_CATEGORIES = 100
"""A text with more categories has no list of them in the schema."""
_ARROW: Mapping[FeatureKind, Any] = {
    "integer": pa.int64(),
    "number": pa.float32(),
    "text": pa.binary(),
}


def infer_schema(
    columns: Mapping[str, Sequence[Cell]],
    features: Sequence[FeatureSpec],
    label: FeatureSpec,
    training_only: Sequence[FeatureSpec] = (),
) -> str:
    """The text of a TFDV schema of the sample.

    Parameters
    ----------
    columns:
        Name → values, None where a value is missing; of `features` and `label`.
    features:
        What an event has.
    label:
        What only the label's record has.
    training_only:
        Further whole numbers of training examples, 0 or 1, that the sample does not have.
    """
    import tensorflow_data_validation as tfdv
    from google.protobuf import text_format
    from tensorflow_data_validation.statistics import stats_impl

    specs = (*features, label)
    arrays = [_array(columns[spec.name], spec.kind) for spec in specs]
    batch = pa.RecordBatch.from_arrays(arrays, names=[spec.name for spec in specs])
    statistics = stats_impl.generate_statistics_in_memory(batch, tfdv.StatsOptions())
    schema = tfdv.infer_schema(
        statistics, infer_feature_shape=False, max_string_domain_size=MAX_CATEGORIES
    )
    inferred = {feature.name: feature for feature in schema.feature}
    for spec in specs:
        if spec.name not in inferred:
            inferred[spec.name] = schema.feature.add(name=spec.name)
        if spec.kind == "text":
            _as_text(inferred[spec.name], columns[spec.name])
        _complete(inferred[spec.name], spec, is_label=spec is label)
    for spec in training_only:
        _add_flag(schema, spec)
    lists = {spec.name for spec in features if spec.multivalent}
    kept = [domain for domain in schema.string_domain if domain.name not in lists]
    del schema.string_domain[:]
    schema.string_domain.extend(kept)
    schema.default_environment.extend([TRAINING, SERVING])
    return str(text_format.MessageToString(schema))


def _array(values: Sequence[Cell], kind: FeatureKind) -> Any:
    """The values as TFDV reads them: one list for each row, null where there is no value."""
    cells: list[list[Any] | None]
    if kind == "text":
        cells = [None if value is None else [str(value).encode()] for value in values]
    elif kind == "integer":
        cells = [None if value is None else [int(value)] for value in values]
    else:
        cells = [None if value is None else [float(value)] for value in values]
    return pa.array(cells, pa.list_(_ARROW[kind]))


def _as_text(feature: Any, values: Sequence[Cell]) -> None:
    """TFDV takes texts of digits, such as postcodes, for whole numbers; they are categories."""
    if feature.WhichOneof("domain_info") in (None, "domain", "string_domain"):
        return
    feature.ClearField(feature.WhichOneof("domain_info"))
    known = sorted({str(value) for value in values if value is not None})
    if len(known) <= MAX_CATEGORIES:
        feature.string_domain.value.extend(known)


def _complete(feature: Any, spec: FeatureSpec, *, is_label: bool) -> None:
    from tensorflow_metadata.proto.v0 import schema_pb2

    types = {"integer": schema_pb2.INT, "number": schema_pb2.FLOAT, "text": schema_pb2.BYTES}
    feature.type = types[spec.kind]
    feature.value_count.min = feature.value_count.max = 1
    if not feature.HasField("presence"):
        feature.presence.min_count = 0
    if spec.multivalent:  # TFDV took whole lists for categories
        feature.ClearField("domain_info")
    if spec.kind == "text" and feature.WhichOneof("domain_info") is not None:
        feature.distribution_constraints.min_domain_mass = MIN_DOMAIN_MASS
    if spec.kind == "integer" and spec.categorical:
        feature.int_domain.is_categorical = True
    if spec.kind == "number":
        feature.float_domain.disallow_nan = feature.float_domain.disallow_inf = True
    if is_label:
        feature.presence.min_fraction, feature.presence.min_count = 1.0, 1
        feature.not_in_environment.append(SERVING)


def _add_flag(schema: Any, spec: FeatureSpec) -> None:
    from tensorflow_metadata.proto.v0 import schema_pb2

    feature = schema.feature.add(name=spec.name, type=schema_pb2.INT)
    feature.presence.min_fraction, feature.presence.min_count = 1.0, 1
    feature.value_count.min = feature.value_count.max = 1
    feature.int_domain.min, feature.int_domain.max = 0, 1
    feature.not_in_environment.append(SERVING)
