"""Builds training examples from a request's offset ranges: events joined with labels by key.

Events and labels are read by the rule of `streaming.contracts.events`, as of the request's time, so
the replay yields the rows that the stream counted. Only the labels in the request's ranges are
used: those known when the decision was made. Rows without a label are left out and counted. The
same request over the same log gives the same files, byte for byte.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from retrain.engines.schema_rules import column_rules, read_schema
from retrain.engines.tfx.tfrecord import RecordWriter, example, feature_encoder
from retrain.models.code import load_code
from retrain.ports import AFTER_SHIFT, ExampleSet, TrainingFailed
from retrain.row_rules import ColumnRule, Violation, breaches_by_column, violation
from retrain.selection import subtract_ranges
from streaming.contracts.errors import ConfigurationError, DecodeError
from streaming.contracts.events import decode_event, key_of, read_fields, value_of
from streaming.contracts.ids import number_of
from streaming.contracts.log import RecordLog
from streaming.contracts.model import FeatureKind, FeatureSpec, ModelContract
from streaming.contracts.records import OffsetRange, RetrainRequest
from streaming.contracts.registered import SchemaSource
from streaming.contracts.tolerance import DEFAULT, Breach, Tolerance, judge

Columns = Callable[[ModelContract], tuple[FeatureSpec, ...]]

ROWS_PER_SHARD = 50_000
"""Rows in one shard, until there are `MAX_SHARDS` shards."""

MAX_SHARDS = 16
"""Maximum number of shards of one side."""


@dataclass(slots=True)
class _Rows:
    """The rows collected so far."""

    rules: Mapping[str, ColumnRule]
    """Column → what the schema requires of every row."""
    events: dict[str, tuple[bytes, int]] = field(default_factory=dict)
    """Key → encoded features, and 1 when the event lies after the shift."""
    labels: dict[str, bytes] = field(default_factory=dict)
    """Key → encoded label fields."""
    set_aside: dict[str, Violation] = field(default_factory=dict)
    """Key of an event that breaks the schema → how."""
    bad_labels: dict[str, Violation] = field(default_factory=dict)
    """Key of an event whose latest label breaks the schema → how."""
    unusable: int = 0
    """Number of events and labels that could not be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogExampleBuilder:
    """`ExampleBuilder` on a record log."""

    log: RecordLog
    label_columns: Columns | None = None
    """Returns the label fields of a model; None = read them from the model's module and schema."""
    eval_share: float = 0.2
    """Share of the keys that is held back for the evaluation."""
    min_rows: int = 500
    """Minimum number of labelled rows; fewer give no usable model."""
    schemas: SchemaSource | None = None
    """The schemas of the registry, for formats that need them."""
    tolerances: Mapping[str, Tolerance] | None = None
    """Model name → how much broken data is tolerated; None = the default for every model."""

    def build(
        self,
        request: RetrainRequest,
        contract: ModelContract,
        folder: Path,
        schema: Path | None = None,
    ) -> ExampleSet:
        """See `ExampleBuilder.build`."""
        columns = (self.label_columns or schema_label_columns)(contract)
        rows = _Rows(rules=column_rules(read_schema(schema)) if schema else {})
        history = subtract_ranges(request.events, request.after_shift)
        for span in history:
            self._read_events(span, request, contract, rows, after_shift=False)
        for span in request.after_shift:
            self._read_events(span, request, contract, rows, after_shift=True)
        for span in request.labels:
            self._read_labels(span, contract, columns, rows)
        labelled = len(rows.labels)
        set_aside = self._tolerated(rows, contract)
        if labelled < self.min_rows:
            raise TrainingFailed(
                f"{labelled} of {len(rows.events)} replayed events have a label "
                f"({rows.unusable} records were unusable); at least {self.min_rows} are needed.",
                component="Examples",
                advice=f"Check whether labels arrive on {contract.labels_topic} with the events' "
                f"{contract.key}, and whether {contract.events_topic} still has the offsets.",
            )
        folder.mkdir(parents=True, exist_ok=True)
        rows_after_shift = self._write(rows, folder)
        return ExampleSet(
            folder=folder,
            rows=labelled,
            rows_after_shift=rows_after_shift,
            unlabelled=len(rows.events) - labelled - len(rows.bad_labels),
            unusable=rows.unusable,
            set_aside=set_aside,
        )

    def _tolerated(self, rows: _Rows, contract: ModelContract) -> tuple[Breach, ...]:
        """The rows that were set aside; raises `TrainingFailed` when they are too many."""
        set_aside = breaches_by_column(
            [*rows.set_aside.values(), *rows.bad_labels.values()],
            of_rows=len(rows.events) + len(rows.set_aside),
        )
        tolerance = DEFAULT if self.tolerances is None else self.tolerances[contract.model]
        judgement = judge([set_aside], tolerance.at_once())
        if judgement.effect == "broken":
            raise TrainingFailed(
                f"The data is broken: {judgement.reason}.",
                component="Examples",
                advice="Fix the producer, accept the change of the schema, or raise "
                f"models.{contract.model}.tolerance.share; then request the retrain again.",
            )
        return set_aside

    def _read_events(
        self,
        span: OffsetRange,
        request: RetrainRequest,
        contract: ModelContract,
        rows: _Rows,
        *,
        after_shift: bool,
    ) -> None:
        encoders = [(s.name, feature_encoder(s)) for s in contract.features]
        events, set_aside = rows.events, rows.set_aside
        rules = [rows.rules[s.name] for s in contract.features if s.name in rows.rules]
        for message in self.log.read(span):
            try:
                event = decode_event(message, contract, now=request.at, schemas=self.schemas)
            except DecodeError:
                rows.unusable += 1
                continue
            if event.key in events or event.key in set_aside:
                continue  # delivered twice: the first one counts
            values = event.values
            if (broken := violation(values, rules)) is not None:
                set_aside[event.key] = broken
                continue
            # The range may also contain rows of earlier windows, from before the shift.
            flag = int(after_shift and event.time >= request.window_start)
            events[event.key] = (
                b"".join([encode(values[name]) for name, encode in encoders]),
                flag,
            )

    def _read_labels(
        self,
        span: OffsetRange,
        contract: ModelContract,
        columns: tuple[FeatureSpec, ...],
        rows: _Rows,
    ) -> None:
        encoders = [(s, feature_encoder(s)) for s in columns]
        rules = [rows.rules[s.name] for s in columns if s.name in rows.rules]
        for message in self.log.read(span):
            try:
                fields = read_fields(message, contract, contract.labels, self.schemas)
                key = key_of(fields, contract)
                if key not in rows.events:
                    continue
                values = {s.name: value_of(fields, s) for s in columns}
            except DecodeError:
                rows.unusable += 1
                continue
            if any(value is None for value in values.values()):
                rows.unusable += 1
                continue
            if (broken := violation(values, rules)) is not None:  # the latest label counts
                rows.labels.pop(key, None)
                rows.bad_labels[key] = broken
                continue
            rows.bad_labels.pop(key, None)
            rows.labels[key] = b"".join([encode(values[s.name]) for s, encode in encoders])

    def _write(self, rows: _Rows, folder: Path) -> int:
        """Write all shards; return the number of rows after the shift.

        Rows are sorted by the hash of their key, which mixes them evenly and reproducibly.
        """
        encode_flag = feature_encoder(FeatureSpec(name=AFTER_SHIFT, kind="integer"))
        flags = (encode_flag(0), encode_flag(1))
        keyed = sorted((number_of(key, size=8), key) for key in rows.labels)
        limit = int(self.eval_share * 2**32)
        sides = {
            "eval": [key for number, key in keyed if number >> 32 < limit],
            "train": [key for number, key in keyed if number >> 32 >= limit],
        }
        rows_after_shift = 0
        for side, keys in sides.items():
            shards = max(1, min(MAX_SHARDS, math.ceil(len(keys) / ROWS_PER_SHARD)))
            for shard in range(shards):
                name = f"{side}-{shard:05d}-of-{shards:05d}.tfrecord.gz"
                with RecordWriter(folder / name) as writer:
                    for key in keys[shard::shards]:
                        entries, shifted = rows.events[key]
                        rows_after_shift += shifted
                        writer.write(example(entries + rows.labels[key] + flags[shifted]))
        return rows_after_shift


def schema_label_columns(contract: ModelContract) -> tuple[FeatureSpec, ...]:
    """The label fields that the model's code names, with their kinds from its schema.

    Raises
    ------
    ConfigurationError
        When the schema does not describe one of them.
    """
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    code = load_code(contract.module)
    schema = text_format.Parse(code.schema.read_text(), schema_pb2.Schema())
    types: dict[str, int] = {feature.name: feature.type for feature in schema.feature}
    kinds: dict[int, FeatureKind] = {
        schema_pb2.INT: "integer",
        schema_pb2.FLOAT: "number",
        schema_pb2.BYTES: "text",
    }
    unknown = [name for name in code.label_columns if types.get(name) not in kinds]
    if unknown:
        raise ConfigurationError(
            f"{code.schema} does not give a type to the label field(s) {', '.join(unknown)}; "
            "describe each as a feature of type INT, FLOAT or BYTES."
        )
    return tuple(FeatureSpec(name=name, kind=kinds[types[name]]) for name in code.label_columns)
