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
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from streaming.contracts.errors import DecodeError
from streaming.contracts.events import Event, decode_event, joined, unknown_fields
from streaming.contracts.model import FeatureSpec, ModelContract
from streaming.windowing.arrow_json import TYPES, ArrowRows

FEW = 100
"""Of fewer records the calls of Arrow's reader cost more than reading them one by one."""

_GOLDEN = 0.6180339887498949
"""Multiples of it lie evenly between whole numbers and fall into step with no period of events."""
_COUNTED, _MAX_COLONS = 1_000, 1_000
_LOOKED_AT, _ONE_IN = 4, 100
"""Records of a fetch whose fields are looked at, and one more for so many that are counted."""

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
    _known: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        self._arrow = ArrowRows(self.contract)
        names = (spec.name for spec in self.contract.features)
        self._known = frozenset((*names, self.contract.key, self.contract.time))

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
        unknown = _unknown(rows, self._noticed(values, places))
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
            cells = [cut_text(cell, self.contract.max_text_bytes) for cell in cells]
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
            except DecodeError as error:
                dead.append(_dead(number, error))
        return rows, dead

    def _noticed(
        self, values: Sequence[bytes | None], accepted: NDArray[np.int64]
    ) -> dict[str, str]:
        """The unknown fields of some of the accepted records that Arrow read.

        Another field is another colon: colons are counted in half of the records, of a long fetch
        in 1,000. Of each count one record is looked at, rare ones first, and then some anywhere.
        """
        several = min(_COUNTED, (len(accepted) + 1) // 2)
        spread = (np.arange(several) * _GOLDEN % 1.0 * len(accepted)).astype(np.intp)
        some = [values[place] or b"" for place in accepted[spread].tolist()]
        noticed: dict[str, str] = {}
        for at in picked(colons(some), _LOOKED_AT + len(some) // _ONE_IN):
            if others := self._others(some[at]):
                noticed = joined(noticed, others)
        return noticed

    def _others(self, value: bytes) -> dict[str, str]:
        """The unknown fields of a record that Arrow could read."""
        try:
            return unknown_fields(orjson.loads(value), self._known)
        except orjson.JSONDecodeError:  # the two readers disagree; the columns stand
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
            columns[name] = _cut(column, self.contract.max_text_bytes)
        return index[order], columns

    def _wanted(self) -> list[tuple[str, pa.DataType]]:
        features = [(spec.name, TYPES[spec.kind]) for spec in self.contract.features]
        known = {name for name, _ in features}
        return features + [(self.contract.time, pa.float64())] * (self.contract.time not in known)


def colons(records: Sequence[bytes]) -> NDArray[np.intp]:
    """How many each record has: one for each of its fields, and those in its text.

    >>> colons([b'{"fare":1}', b'{"fare":1,"at":"10:30"}']).tolist()
    [1, 3]
    """
    ends = np.cumsum(np.fromiter(map(len, records), np.int64, len(records)))
    found = np.flatnonzero(np.frombuffer(b"".join(records), np.uint8) == ord(":"))
    return np.diff(np.searchsorted(found, ends), prepend=0)


def picked(counts: NDArray[np.intp], most: int) -> list[int]:
    """Places of up to `most` rows: one of each count, rare ones first, as far as three quarters of
    `most` go, and others at equal distances.

    >>> picked(np.array([7, 7, 7, 9, 7, 7, 8, 9]), 4)
    [0, 3, 6]
    """
    if not len(counts):
        return []
    few = np.minimum(counts, _MAX_COLONS)
    sizes = np.bincount(few)
    first = np.zeros(len(sizes), np.intp)
    first[few[::-1]] = np.arange(len(few) - 1, -1, -1)
    present = np.flatnonzero(sizes)
    rare = first[present[np.argsort(sizes[present], kind="stable")]][: most * 3 // 4].tolist()
    step = max(1, len(counts) // max(1, most - len(rare)))
    return sorted({*rare, *range(0, len(counts), step)})


def _unknown(rows: Rows, noticed: dict[str, str]) -> dict[str, str]:
    """The unknown fields of these rows, beside those that were noticed elsewhere."""
    for _, event in rows:
        if event.unknown:
            noticed = joined(noticed, event.unknown)
    return noticed


def _dead(index: int, error: DecodeError) -> Dead:
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


def _cut(column: Any, max_bytes: int) -> Any:
    """Cut long text to the contract's bound, at a character's border."""
    if not pa.types.is_string(column.type):
        return column
    if (pc.max(pc.binary_length(column)).as_py() or 0) <= max_bytes:
        return column
    return pa.array([cut_text(text, max_bytes) for text in column.to_pylist()], pa.string())


def cut_text(text: str | None, max_bytes: int) -> str | None:
    """The longest beginning of `text` with at most `max_bytes` bytes of UTF-8.

    >>> cut_text("größer", 4)
    'grö'
    """
    if text is None or len(text.encode()) <= max_bytes:
        return text
    return text.encode()[:max_bytes].decode("utf-8", "ignore")
