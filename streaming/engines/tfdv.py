"""TFDV's statistics of a window, built up piece by piece, and its verdict on the schema.

The pieces use TFDV's own generators (create / add / merge / extract). TFDV wants batches of a
thousand rows, and its sketches of fewer rows are larger than the rows: a piece therefore keeps
its columns until they are `_FEWEST`, and only then becomes sketches.

TFDV imports TensorFlow (seconds, 0.9 GB): only the workers of the stream job pay for it, when they
set up.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from streaming.contracts.records import SchemaAnomaly
from streaming.engines import schema_file

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2

_FEWEST = 1000
_EPSILON = 0.05
"""Rank error of TFDV's quantiles. Its default (0.01) makes a piece four times as large."""
_SERVING = "SERVING"
"""The environment of streamed windows: labels are not expected in it."""


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Statistics of some rows: sketches of most of them, columns of the rest."""

    sketches: tuple[Any, ...] = ()
    """One accumulator per generator; empty while there are only columns."""
    batches: tuple[pa.RecordBatch, ...] = ()
    """Rows that are not in the sketches yet, in TFDV's list-column form."""


@dataclass(frozen=True)
class Statistics:
    """Makes statistics under one schema.

    Parameters
    ----------
    schema_path:
        TFDV schema in text form; empty for none (then nothing is validated).
    """

    schema_path: str = ""

    @cached_property
    def schema(self) -> schema_pb2.Schema | None:
        """The schema, read once per process."""
        return schema_file.parse(Path(self.schema_path)) if self.schema_path else None

    def warm_up(self) -> None:
        """Import TFDV and read the schema now, before the first record waits for it."""
        _ = self._generators

    @cached_property
    def _generators(self) -> list[Any]:
        import tensorflow_data_validation as tfdv
        from tensorflow_data_validation.statistics import stats_impl

        options = tfdv.StatsOptions(schema=self.schema, epsilon=_EPSILON)
        generators = stats_impl.get_generators(options, in_memory=True)
        for generator in generators:
            generator.setup()
        return list(generators)

    def piece(self, batch: pa.RecordBatch) -> Piece:
        """The statistics of a batch of the contract's columns."""
        if not batch.num_rows:
            return Piece()
        return self._settled(Piece(batches=(listed(batch),)))

    def merge(self, pieces: Iterable[Piece]) -> Piece:
        """The statistics of all rows of `pieces`."""
        together = list(pieces)
        sketches = [piece.sketches for piece in together if piece.sketches]
        merged: tuple[Any, ...] = sketches[0] if sketches else ()
        if len(sketches) > 1:
            merged = tuple(
                generator.merge_accumulators(list(parts))
                for generator, *parts in zip(self._generators, *sketches, strict=True)
            )
        batches = tuple(batch for piece in together for batch in piece.batches)
        return self._settled(Piece(sketches=merged, batches=batches))

    def finish(self, piece: Piece) -> statistics_pb2.DatasetFeatureStatisticsList:
        """The statistics proto."""
        from tensorflow_data_validation.statistics import stats_impl
        from tensorflow_metadata.proto.v0 import statistics_pb2

        whole = self._sketched(piece)
        found = statistics_pb2.DatasetFeatureStatisticsList()
        if whole.sketches:
            found = stats_impl.extract_statistics_output(list(whole.sketches), self._generators)
        else:
            found.datasets.add()
        return found

    def anomalies(
        self, statistics: statistics_pb2.DatasetFeatureStatisticsList, unknown: Iterable[str] = ()
    ) -> tuple[SchemaAnomaly, ...]:
        """What the schema says about a window.

        Parameters
        ----------
        statistics:
            Of the window's rows.
        unknown:
            Fields seen that are not in the contract; they are no columns, so TFDV cannot see them.
        """
        import tensorflow_data_validation as tfdv

        found = [
            SchemaAnomaly(
                feature=name,
                code="SCHEMA_NEW_COLUMN",
                detail="New column: in the events, but not in the schema.",
            )
            for name in sorted(set(unknown))
        ]
        if self.schema is not None and statistics.datasets[0].num_examples:
            verdict = tfdv.validate_statistics(statistics, self.schema, environment=_SERVING)
            found += _records(verdict)
        return tuple(found)

    # -------------------------------------------------------------------- parts

    def _settled(self, piece: Piece) -> Piece:
        rows = sum(batch.num_rows for batch in piece.batches)
        return self._sketched(piece) if rows >= _FEWEST else piece

    def _sketched(self, piece: Piece) -> Piece:
        """All rows in the sketches."""
        if not piece.batches:
            return piece
        sketches: Sequence[Any] = piece.sketches or [
            generator.create_accumulator() for generator in self._generators
        ]
        table = pa.Table.from_batches(piece.batches).combine_chunks()
        batch = table.to_batches()[0]
        return Piece(
            sketches=tuple(
                generator.add_input(sketch, batch)
                for generator, sketch in zip(self._generators, sketches, strict=True)
            )
        )

    def to_bytes(self, piece: Piece) -> bytes:
        """A piece for the way between two steps of the same job."""
        sketches = b""
        if piece.sketches:
            compact = [
                generator.compact(sketch)
                for generator, sketch in zip(self._generators, piece.sketches, strict=True)
            ]
            sketches = pickle.dumps(compact, 5)
        rows = b""
        if piece.batches:
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, piece.batches[0].schema) as writer:
                for batch in piece.batches:
                    writer.write_batch(batch)
            rows = sink.getvalue().to_pybytes()
        packed: bytes = pa.compress(sketches + rows, "lz4", asbytes=True)
        head = len(sketches).to_bytes(8, "big") + (len(sketches) + len(rows)).to_bytes(8, "big")
        return head + packed

    def from_bytes(self, data: bytes) -> Piece:
        """What `to_bytes` wrote; only ever fed with what this job itself wrote."""
        cut, size = int.from_bytes(data[:8], "big"), int.from_bytes(data[8:16], "big")
        plain = pa.decompress(data[16:], size, "lz4", asbytes=True) if size else b""
        sketches = tuple(pickle.loads(plain[:cut])) if cut else ()  # noqa: S301
        batches: tuple[pa.RecordBatch, ...] = ()
        if cut < size:
            with pa.ipc.open_stream(plain[cut:]) as reader:
                batches = tuple(reader)
        return Piece(sketches=sketches, batches=batches)


def listed(batch: pa.RecordBatch) -> pa.RecordBatch:
    """TFDV's form: each cell a list of one value; missing and non-finite cells are null.

    A single infinity would otherwise own minimum, maximum and outer buckets of the window.
    """
    columns = []
    for given in batch.columns:
        column: Any = given
        if pa.types.is_floating(column.type):
            finite: Any = pc.fill_null(pc.is_finite(column), False)
            column = pc.if_else(finite, column, pa.scalar(None, column.type))
        present = column.is_valid()
        offsets = np.zeros(len(column) + 1, np.int32)
        np.cumsum(present.to_numpy(zero_copy_only=False), out=offsets[1:])
        mask: Any = pc.invert(present) if column.null_count else None
        columns.append(
            pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), column.drop_null(), mask=mask)
        )
    return pa.RecordBatch.from_arrays(columns, batch.schema.names)


def _records(verdict: anomalies_pb2.Anomalies) -> list[SchemaAnomaly]:
    from tensorflow_metadata.proto.v0 import anomalies_pb2

    found = [
        SchemaAnomaly(
            feature=name,
            code=anomalies_pb2.AnomalyInfo.Type.Name(reason.type),
            detail=reason.description or reason.short_description,
        )
        for name, info in sorted(verdict.anomaly_info.items())
        for reason in info.reason
    ]
    return found
