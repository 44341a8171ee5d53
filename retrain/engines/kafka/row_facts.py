"""Columns of what the choice of rows needs to know, gathered bucket by bucket."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from retrain.engines.kafka.joined_rows import JoinedRows
from retrain.engines.kafka.record_columns import TIME
from retrain.models.code import load_code
from retrain.ports import AFTER_SHIFT
from retrain.row_columns import RowColumns
from streaming.contracts.model import ModelContract

_FIRST_ROWS = 20
"""Rows of a bucket in which it is seen which fields make a class."""

_BETWEEN = "\0"
"""Between the parts of a stratum's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowMeaning:
    """Which fields of a row make its class, its slice and its entity."""

    class_of: Callable[[Mapping[str, Any]], Any] | None = None
    """Computes the class from the fields of a row; None = the rows have no classes."""
    slices: tuple[str, ...] = ()
    entity: str = ""
    """Empty = each row is its own entity."""


def meaning_of(contract: ModelContract) -> RowMeaning:
    """What the model's code says; a number to predict has no classes."""
    code = load_code(contract.module)
    class_of = code.outcome
    if class_of is None and code.label in code.label_columns:
        label = code.label
        class_of = lambda columns: columns[label]  # noqa: E731
    known = {feature.name for feature in contract.features}
    return RowMeaning(
        class_of=None if code.task.kind == "regression" else class_of,
        slices=tuple(name for name in code.slices if name in known),
        entity=code.entity if code.entity in known else "",
    )


@dataclass(slots=True, kw_only=True)
class RowFactsBuilder:
    """Collects the columns of all buckets, in the order of the key's hash."""

    meaning: RowMeaning
    _hashes: list[Any] = field(default_factory=list)
    _times: list[Any] = field(default_factory=list)
    _shifted: list[Any] = field(default_factory=list)
    _strata: list[Any] = field(default_factory=list)
    _entities: list[Any] = field(default_factory=list)

    def add(self, rows: JoinedRows, events: pa.Table, labels: pa.Table) -> None:
        """Add the labelled rows of the next bucket."""
        at: Any = pa.array(rows.events)
        shifted = events[AFTER_SHIFT].take(at).to_numpy() > 0
        self._hashes.append(rows.hashes)
        self._times.append(events[TIME].take(at).to_numpy())
        self._shifted.append(shifted)
        self._strata.append(self._strata_of(rows, events, labels, shifted))
        if self.meaning.entity:
            self._entities.append(_text(events[self.meaning.entity].take(at)))

    def finish(self) -> RowColumns:
        """All rows."""
        shifted = _concatenated(self._shifted, np.bool_)
        strata, names = _encoded(self._strata)
        history = np.zeros(len(shifted), np.int64)
        history[~shifted] = strata
        entities, entity_names = (
            _encoded(self._entities)
            if self.meaning.entity
            else (np.full(len(shifted), -1, np.int64), [])
        )
        if "" in entity_names:  # a row without a value is its own entity
            entities = np.where(entities == entity_names.index(""), -1, entities)
        return RowColumns(
            hashes=_concatenated(self._hashes, np.uint64),
            times=_concatenated(self._times, np.float64),
            after_shift=shifted,
            strata=history,
            names=tuple(_stratum(name) for name in names) or (("", ""),),
            entities=entities,
            entity_names=tuple(entity_names),
        )

    def _strata_of(self, rows: JoinedRows, events: pa.Table, labels: pa.Table, shifted: Any) -> Any:
        """Class and slice of the rows of history."""
        old = ~shifted
        at: Any = pa.array(rows.events[old])
        label_at: Any = pa.array(rows.labels[old])
        classes = self._classes(((events, at), (labels, label_at)))
        parts = [_text(events[name].take(at)) for name in self.meaning.slices]
        return pc.binary_join_element_wise(classes, *parts, _BETWEEN)

    def _classes(self, sources: Sequence[tuple[pa.Table, Any]]) -> Any:
        """The class of each row as text, from tables and the rows of each that belong together.

        Which fields count is seen in the first rows; the others are not read. What is equal in
        the fields that count is computed once.
        """
        class_of, rows = self.meaning.class_of, len(sources[0][1])
        if class_of is None or not rows:
            return pa.array([""] * rows, pa.string())
        read = _ReadFields()
        for row in _columns((table, at[:_FIRST_ROWS]) for table, at in sources).to_pylist():
            read.update(row)
            _class(class_of, read)
        columns = _columns(sources, read.names)
        names, class_by_values = columns.column_names, dict[tuple[Any, ...], str]()
        classes = []
        values_of = zip(*(column.to_pylist() for column in columns.columns), strict=True)
        for values in values_of if names else [()] * rows:
            if (known := class_by_values.get(values)) is None:
                class_by_values[values] = known = _class(
                    class_of, dict(zip(names, values, strict=True))
                )
            classes.append(known)
        return pa.array(classes, pa.string())


def _columns(sources: Iterable[tuple[pa.Table, Any]], names: set[str] | None = None) -> Any:
    """These columns of the rows, side by side; None = all. Of equal names the last counts."""
    columns = {
        name: table[name].take(at)
        for table, at in sources
        for name in table.column_names
        if names is None or name in names
    }
    return pa.table(columns)


class _ReadFields(dict[str, Any]):
    """A row that remembers which of its fields were read."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        self.names.add(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        """See `dict.get`."""
        self.names.add(name)
        return super().get(name, default)


def _class(class_of: Callable[[Mapping[str, Any]], Any], columns: Mapping[str, Any]) -> str:
    try:
        outcome = class_of(columns)
    except (KeyError, TypeError, ValueError):
        return ""  # what cannot be computed is not balanced; the trainer says what is wrong
    return "" if outcome is None else str(outcome)


def _text(column: Any) -> Any:
    return pc.fill_null(column.combine_chunks().cast(pa.string()), "")


def _concatenated(parts: Sequence[Any], kind: Any) -> Any:
    return np.concatenate(parts) if parts else np.zeros(0, kind)


def _encoded(parts: Sequence[Any]) -> tuple[Any, list[str]]:
    """Codes of the texts, and the text of each code."""
    encoded: Any = pa.chunked_array(parts, pa.string()).combine_chunks().dictionary_encode()
    return encoded.indices.to_numpy().astype(np.int64), encoded.dictionary.to_pylist()


def _stratum(name: str) -> tuple[str, str]:
    label, _, part = name.partition(_BETWEEN)
    return label, part.replace(_BETWEEN, "/")
