"""Builds training examples from a request's offset ranges: events joined with labels by key.

Events and labels are read by the rule of `streaming.contracts.events`, as of the request's time, so
the replay yields the rows that the stream counted. Only the labels in the request's ranges are
used: those known when the decision was made. Rows without a label are left out and counted;
`retrain.row_columns` chooses among the others, and which of them are held back. The same request
over the same log gives the same files, byte for byte.

Rows are columns from the fetch to the file, and lie on disk in buckets by the hash of their key
(`row_buckets`) while they are joined and sorted, so memory does not grow with the number of rows.
"""

from __future__ import annotations

import contextlib
import math
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from retrain.engines.kafka.joined_rows import JoinedRows, RowCounts, join
from retrain.engines.kafka.record_columns import (
    TIME,
    MakeDecoder,
    events_of,
    labels_of,
)
from retrain.engines.kafka.row_buckets import RowBuckets, buckets_for
from retrain.engines.kafka.row_facts import RowFactsBuilder, RowMeaning, meaning_of
from retrain.engines.schema_rules import column_rules, label_kinds, read_schema
from retrain.engines.tfx.example_columns import encode_examples, records
from retrain.engines.tfx.tfrecord import RecordWriter
from retrain.models.code import load_code
from retrain.ports import AFTER_SHIFT, ExampleSet, TrainingFailed
from retrain.row_columns import ChosenMasks, RowColumns, choose_columns
from retrain.row_rules import ColumnRule, breaches_by_column
from retrain.selection import subtract_ranges
from streaming.contracts.log import Message, RecordLog
from streaming.contracts.model import FeatureSpec, ModelContract
from streaming.contracts.records import OffsetRange, RetrainRequest, RowRules, RowSelection
from streaming.contracts.registered import SchemaSource
from streaming.contracts.tolerance import DEFAULT, Breach, Tolerance, judge

Columns = Callable[[ModelContract], tuple[FeatureSpec, ...]]

ROWS_PER_SHARD = 50_000
"""Rows in one shard, until there are `MAX_SHARDS` shards."""

MAX_SHARDS = 16
"""Maximum number of shards of one side."""

_FLAG = FeatureSpec(name=AFTER_SHIFT, kind="integer")
_WRITTEN_ROWS = 5_000
"""Rows that are encoded at a time."""


@dataclass(slots=True, kw_only=True)
class _Replay:
    """The rows of a request on disk, and what they were read by."""

    events: RowBuckets
    labels: RowBuckets
    features: tuple[FeatureSpec, ...]
    label_columns: tuple[FeatureSpec, ...]
    counts: RowCounts
    unreadable: int
    """Records that could not be read."""

    @property
    def unusable(self) -> int:
        """Number of events and labels that could not be used."""
        return self.unreadable + self.counts.unusable_labels


@dataclass(frozen=True, slots=True, kw_only=True)
class LogExampleBuilder:
    """`ExampleBuilder` on a record log."""

    log: RecordLog
    label_columns: Columns | None = None
    """Returns the label fields of a model; None = read them from the model's module and schema."""
    rules: Mapping[str, RowRules] | None = None
    """Model name → how rows are chosen; None = the defaults for every model."""
    meaning: Callable[[ModelContract], RowMeaning] | None = None
    """Says which fields make class, slice and entity of a row; None = the model's code does, and
    where `label_columns` is given, none do."""
    min_rows: int = 500
    """Minimum number of labelled rows; fewer give no usable model."""
    schemas: SchemaSource | None = None
    """The schemas of the registry, for formats that need them."""
    tolerances: Mapping[str, Tolerance] | None = None
    """Model name → how much broken data is tolerated; None = the default for every model."""
    decoder: MakeDecoder | None = None
    """Makes the decoder of flat records to columns; None = records are read one by one, to the
    same rows."""

    def build(
        self,
        request: RetrainRequest,
        contract: ModelContract,
        folder: Path,
        schema: Path | None = None,
    ) -> ExampleSet:
        """See `ExampleBuilder.build`."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".replay-", dir=folder.parent) as scratch:
            replay, joined, offered = self._offered(request, contract, Path(scratch), schema)
            counts = replay.counts
            set_aside = self._tolerated(counts, contract)
            if counts.labelled < self.min_rows:
                raise TrainingFailed(
                    f"{counts.labelled} of {counts.events} replayed events have a label "
                    f"({replay.unusable} records were unusable); at least {self.min_rows} are"
                    " needed.",
                    component="Examples",
                    advice=f"Check whether labels arrive on {contract.labels_topic} with the"
                    f" events' {contract.key}, and whether {contract.events_topic} still has the"
                    " offsets.",
                )
            row_rules = self._row_rules(contract)
            chosen = choose_columns(offered, row_rules, duplicates=counts.duplicates)
            folder.mkdir(parents=True, exist_ok=True)
            _write(replay, joined, chosen, folder)
        selection = chosen.selection
        return ExampleSet(
            folder=folder,
            rows=selection.train + selection.evaluated,
            rows_after_shift=int((offered.after_shift & (chosen.train | chosen.evaluated)).sum()),
            rules=row_rules,
            selection=selection,
            unlabelled=counts.events - counts.labelled - counts.bad_labels.total(),
            unusable=replay.unusable,
            set_aside=set_aside,
        )

    def select(
        self,
        request: RetrainRequest,
        contract: ModelContract,
        scratch: Path,
        schema: Path | None = None,
    ) -> RowSelection:
        """The choice that `build` makes, without its files; `scratch` is an existing folder."""
        replay, _, offered = self._offered(request, contract, scratch, schema)
        rules, duplicates = self._row_rules(contract), replay.counts.duplicates
        return choose_columns(offered, rules, duplicates=duplicates).selection

    def _offered(
        self, request: RetrainRequest, contract: ModelContract, scratch: Path, schema: Path | None
    ) -> tuple[_Replay, list[JoinedRows], RowColumns]:
        """The rows of a request, joined, and what the choice needs to know of them."""
        rules = column_rules(read_schema(schema)) if schema else {}
        replay = self._read(request, contract, scratch)
        meaning = self._meaning(contract)
        if not request.after_shift:  # nothing is mixed, so classes and slices do not matter
            meaning = replace(meaning, class_of=None, slices=())
        facts = RowFactsBuilder(meaning=meaning)
        joined = list(_joined(replay, rules, facts))
        return replay, joined, facts.finish()

    def _row_rules(self, contract: ModelContract) -> RowRules:
        return RowRules() if self.rules is None else self.rules[contract.model]

    def _meaning(self, contract: ModelContract) -> RowMeaning:
        if self.meaning is not None:
            return self.meaning(contract)
        return meaning_of(contract) if self.label_columns is None else RowMeaning()

    def _tolerated(self, counts: RowCounts, contract: ModelContract) -> tuple[Breach, ...]:
        """The rows that were set aside; raises `TrainingFailed` when they are too many."""
        set_aside = breaches_by_column(
            (counts.set_aside + counts.bad_labels).elements(),
            of_rows=counts.events + counts.set_aside.total(),
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

    def _read(self, request: RetrainRequest, contract: ModelContract, scratch: Path) -> _Replay:
        """All rows of the request, in buckets below `scratch`."""
        columns = (self.label_columns or schema_label_columns)(contract)
        events = events_of(
            contract, now=request.at, schemas=self.schemas, make_decoder=self.decoder
        )
        labels = labels_of(contract, columns, schemas=self.schemas, make_decoder=self.decoder)
        offsets = sum(span.stop - span.start for span in request.events)
        buckets = buckets_for(offsets)
        flagged = events.schema.append(pa.field(AFTER_SHIFT, pa.int64()))
        replay = _Replay(
            events=RowBuckets(scratch / "events", flagged, buckets),
            labels=RowBuckets(scratch / "labels", labels.schema, buckets),
            features=contract.features,
            label_columns=columns,
            counts=RowCounts(),
            unreadable=0,
        )
        history = subtract_ranges(request.events, request.after_shift)
        # The range may also contain rows of earlier windows, from before the shift.
        for spans, since in ((history, math.inf), (request.after_shift, request.window_start)):
            for batch in events.batches(self._messages(spans)):
                times: Any = batch.column(TIME)
                shifted = pa.array((times.to_numpy() >= since).astype(np.int64))
                row_columns = [*batch.columns, shifted]
                replay.events.add(pa.RecordBatch.from_arrays(row_columns, schema=flagged))
        for batch in labels.batches(self._messages(request.labels)):
            replay.labels.add(batch)
        replay.events.finish()
        replay.labels.finish()
        replay.unreadable = events.unusable + labels.unusable
        return replay

    def _messages(self, spans: Sequence[OffsetRange]) -> Iterator[Message]:
        for span in spans:
            yield from self.log.read(span)


def _write(replay: _Replay, joined: list[JoinedRows], chosen: ChosenMasks, folder: Path) -> None:
    """Write all shards, sorted by the hash of the key, which mixes rows evenly and reproducibly."""
    with contextlib.ExitStack() as stack:
        sides = [
            _Side(stack, folder, "eval", chosen.selection.evaluated),
            _Side(stack, folder, "train", chosen.selection.train),
        ]
        first = 0
        for bucket, rows in enumerate(joined):
            events, labels = replay.events.read(bucket), replay.labels.read(bucket)
            bucket_rows = slice(first, first + len(rows.hashes))
            first = bucket_rows.stop
            for side, mask in zip(
                sides, (chosen.evaluated[bucket_rows], chosen.train[bucket_rows]), strict=True
            ):
                event_rows, label_rows = rows.events[mask], rows.labels[mask]
                for start in range(0, len(event_rows), _WRITTEN_ROWS):
                    part = slice(start, start + _WRITTEN_ROWS)
                    columns = _example_columns(
                        replay, events, event_rows[part], labels, label_rows[part]
                    )
                    side.write(encode_examples(columns, _written(replay)))


class _Side:
    """The shards of one side; each row goes to the next shard."""

    def __init__(self, stack: contextlib.ExitStack, folder: Path, name: str, rows: int) -> None:
        shards = max(1, min(MAX_SHARDS, math.ceil(rows / ROWS_PER_SHARD)))
        self._writers = [
            stack.enter_context(
                RecordWriter(folder / f"{name}-{shard:05d}-of-{shards:05d}.tfrecord.gz")
            )
            for shard in range(shards)
        ]
        self._written = 0

    def write(self, examples: Any) -> None:
        """Append these rows."""
        count = len(self._writers)
        shards = (np.arange(len(examples)) + self._written) % count
        for number, writer in enumerate(self._writers):
            own = (
                examples
                if count == 1
                else examples.take(pa.array(np.flatnonzero(shards == number)))
            )
            writer.write_framed(records(own))
        self._written += len(examples)


def _joined(
    replay: _Replay, rules: dict[str, ColumnRule], facts: RowFactsBuilder
) -> Iterator[JoinedRows]:
    for bucket in range(len(replay.events)):
        events, labels = replay.events.read(bucket), replay.labels.read(bucket)
        joined = join(
            events,
            labels,
            features=replay.features,
            label_columns=replay.label_columns,
            rules=rules,
            counts=replay.counts,
        )
        facts.add(joined, events, labels)
        yield joined


def _written(replay: _Replay) -> tuple[FeatureSpec, ...]:
    return (*replay.features, *replay.label_columns, _FLAG)


def _example_columns(
    replay: _Replay, events: pa.Table, event_rows: Any, labels: pa.Table, label_rows: Any
) -> dict[str, Any]:
    """The columns of some rows."""
    own, of_labels = events.take(pa.array(event_rows)), labels.take(pa.array(label_rows))
    columns: dict[str, Any] = {
        spec.name: own[spec.name].combine_chunks() for spec in (*replay.features, _FLAG)
    }
    columns |= {spec.name: of_labels[spec.name].combine_chunks() for spec in replay.label_columns}
    return columns


def schema_label_columns(contract: ModelContract) -> tuple[FeatureSpec, ...]:
    """The label fields that the model's code names, with their kinds from its schema.

    Raises
    ------
    ConfigurationError
        When the schema does not describe one of them.
    """
    return label_kinds(load_code(contract.module))
