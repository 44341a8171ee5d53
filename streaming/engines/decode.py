"""A fetch of records to columns, guarded: one bad record never takes others down with it.

Arrow's JSON reader is six times faster than row by row, but it fails as a whole, reads NaN,
drops blank records and can take two objects out of one. So Arrow only sees records that it cannot
misread (`arrow_rows`), and whatever it refuses is settled one by one by
`streaming.contracts.events.decode_event`, the rule of the house. The columns hold exactly the
records which that rule accepts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from streaming.contracts.errors import Unreadable
from streaming.contracts.events import Event, decode_event, joined
from streaming.contracts.model import FeatureSpec, ModelContract
from streaming.engines.arrow_rows import TYPES, ArrowRows

FEW = 100
"""Of fewer records the calls of Arrow's reader cost more than reading them one by one."""

Rows = list[tuple[int, Event]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dead:
    """A record of the fetch that cannot be used, by its place in the fetch."""

    index: int
    reason: str
    detail: str
    field: str = ""
    """The field that made it so, where one did."""
    found: str = ""
    """Kind of that field's value; empty where it was missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """The usable rows of a fetch, in fetch order, and the rest."""

    batch: pa.RecordBatch
    """One column per feature of the contract; a number may be NaN where it was not finite."""
    times: NDArray[np.float64]
    """Event time of each row, seconds since 1970."""
    index: NDArray[np.int64]
    """Place of each row in the fetch."""
    dead: tuple[Dead, ...]
    unknown: Mapping[str, str]
    """Fields that the contract does not know, as far as they were noticed -> kind of the value."""


@dataclass(slots=True)
class Decoder:
    """Decodes fetches of one model's events.

    >>> from streaming.contracts.model import FeatureSpec
    >>> contract = ModelContract(model="m", module="", events_topic="", labels_topic="", key="id",
    ...     time="at", features=(FeatureSpec(name="fare", kind="number"),))
    >>> fetch = [b'{"id":"a","at":1.0,"fare":2}', b'{"id":"b","at":1}{', b'{"id":"c","at":3}']
    >>> decoded = Decoder(contract).decode(fetch, now=5.0)
    >>> decoded.batch.to_pydict(), decoded.index.tolist(), decoded.dead[0].reason
    ({'fare': [2.0, None]}, [0, 2], 'not_json')
    """

    contract: ModelContract
    few: int = FEW
    _arrow: ArrowRows = field(init=False)

    def __post_init__(self) -> None:
        self._arrow = ArrowRows(self.contract)

    def decode(self, values: Sequence[bytes | None], *, now: float) -> Decoded:
        """Decode one fetch.

        Parameters
        ----------
        values:
            The records' values as they came from Kafka.
        now:
            Seconds since 1970, for events that lie too far ahead.
        """
        if len(values) < self.few:
            return self._few(values, now)
        (places, table), rest = self._arrow.parse(values)
        usable = self._usable(table, now)
        if not usable.all():
            rest.extend(places[~usable].tolist())
            places, table = places[usable], table.filter(pa.array(usable)).combine_chunks()
        rows, dead = self._row_by_row(values, sorted(rest), now)
        unknown = _unknown(rows, self._sampled(values, places, now))
        index, columns = self._gather(places, table, rows)
        return Decoded(
            batch=pa.RecordBatch.from_arrays(
                [columns[spec.name] for spec in self.contract.features],
                [spec.name for spec in self.contract.features],
            ),
            times=columns[self.contract.time].to_numpy(zero_copy_only=False).astype(np.float64),
            index=index,
            dead=tuple(dead),
            unknown=unknown,
        )

    def _few(self, values: Sequence[bytes | None], now: float) -> Decoded:
        """The same of a short fetch, all by the rule."""
        rows, dead = self._row_by_row(values, range(len(values)), now)
        columns = {spec.name: self._column(spec, rows) for spec in self.contract.features}
        return Decoded(
            batch=pa.RecordBatch.from_arrays(list(columns.values()), list(columns)),
            times=np.array([event.time for _, event in rows], np.float64),
            index=np.array([number for number, _ in rows], np.int64),
            dead=tuple(dead),
            unknown=_unknown(rows, {}),
        )

    def _column(self, spec: FeatureSpec, rows: Rows) -> pa.Array[Any]:
        cells: list[Any] = [event.values[spec.name] for _, event in rows]
        if spec.kind == "text":
            cells = [cut_text(cell, self.contract.most_text_bytes) for cell in cells]
        elif any(event.non_finite for _, event in rows):
            cells = [_cell(event, spec.name) for _, event in rows]
        return pa.array(cells, TYPES[spec.kind])

    def _usable(self, table: pa.Table, now: float) -> NDArray[np.bool_]:
        """True for the rows which the rule would surely accept as they are."""
        contract = self.contract
        times = table[contract.time].cast(pa.float64()).to_numpy()
        usable: NDArray[np.bool_] = np.isfinite(times) & (times <= now + contract.future_seconds)
        key: Any = table[contract.key]
        usable &= np.asarray(pc.is_valid(key))
        if contract.key not in {spec.name for spec in contract.features}:
            empty: Any = pc.equal(key, pa.scalar(""))
            usable &= ~np.asarray(pc.fill_null(empty, True))
        for spec in contract.features:
            column: Any = table[spec.name]
            if spec.required and column.null_count:
                usable &= np.asarray(pc.is_valid(column))
            if spec.kind == "number":
                usable &= np.asarray(pc.fill_null(pc.is_finite(column), True))
        return usable

    # -------------------------------------------------------------- row by row

    def _row_by_row(
        self, values: Sequence[bytes | None], rest: Sequence[int], now: float
    ) -> tuple[Rows, list[Dead]]:
        rows: Rows = []
        dead: list[Dead] = []
        for number in rest:
            try:
                rows.append((number, decode_event(values[number], self.contract, now=now)))
            except Unreadable as error:
                dead.append(_dead(number, error))
        return rows, dead

    def _sampled(
        self,
        values: Sequence[bytes | None],
        places: NDArray[np.int64],
        now: float,
    ) -> dict[str, str]:
        """The unknown fields of one record that Arrow read: new columns show within a fetch."""
        if not len(places):
            return {}
        first = int(places.min())
        try:
            return dict(decode_event(values[first], self.contract, now=now).unknown)
        except Unreadable:  # the two readers disagree; the columns stand, the sample is skipped
            return {}

    def _gather(
        self, places: NDArray[np.int64], table: pa.Table, rows: Rows
    ) -> tuple[NDArray[np.int64], dict[str, Any]]:
        """Everything accepted, in fetch order."""
        index = np.concatenate((places, np.array([n for n, _ in rows], dtype=np.int64)))
        order = np.argsort(index, kind="stable")
        in_order = bool((order == np.arange(len(order))).all())
        columns = {}
        for name, kind in self._wanted():
            parts = [*table[name].chunks, pa.array([_cell(e, name) for _, e in rows], kind)]
            column = pa.concat_arrays(parts)
            column = column if in_order else column.take(pa.array(order, pa.int64()))
            columns[name] = _cut(column, self.contract.most_text_bytes)
        return index[order], columns

    def _wanted(self) -> list[tuple[str, pa.DataType]]:
        features = [(spec.name, TYPES[spec.kind]) for spec in self.contract.features]
        known = {name for name, _ in features}
        return features + [(self.contract.time, pa.float64())] * (self.contract.time not in known)


def _unknown(rows: Rows, noticed: dict[str, str]) -> dict[str, str]:
    """The unknown fields of these rows, beside those that were noticed elsewhere."""
    for _, event in rows:
        if event.unknown:
            noticed = joined(noticed, event.unknown)
    return noticed


def _dead(index: int, error: Unreadable) -> Dead:
    return Dead(
        index=index,
        reason=error.reason,
        detail=str(error),
        field=error.field,
        found=error.found,
    )


def _cell(event: Event, name: str) -> int | float | str | None:
    if name in event.non_finite:
        return float("nan")
    return event.values.get(name, event.time)


def _cut(column: Any, most_bytes: int) -> Any:
    """Cut long text to the contract's bound, at a character's border."""
    if not pa.types.is_string(column.type):
        return column
    if (pc.max(pc.binary_length(column)).as_py() or 0) <= most_bytes:
        return column
    return pa.array([cut_text(text, most_bytes) for text in column.to_pylist()], pa.string())


def cut_text(text: str | None, most_bytes: int) -> str | None:
    """The longest beginning of `text` with at most `most_bytes` bytes of UTF-8.

    >>> cut_text("größer", 4)
    'grö'
    """
    if text is None or len(text.encode()) <= most_bytes:
        return text
    return text.encode()[:most_bytes].decode("utf-8", "ignore")
