"""The four functions of the combiner. `add` and `merge` return new values and change nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa

from streaming.contracts.errors import PermanentError
from streaming.contracts.model import FeatureSpec, ModelContract
from streaming.contracts.records import FeatureSummary, NumericGrid, RowSample
from streaming.grid import MAX_FRACTION_BITS, add_counts
from streaming.resolution import add_grids
from streaming.summary.columns import FeaturePart, count_column
from streaming.summary.drawn_values import with_drawn_values
from streaming.summary.moments import add_moments
from streaming.summary.sample import (
    RowKeys,
    SampledRows,
    add_rows,
    as_coarse_as_needed,
    encode_rows,
    merge_samples,
)
from streaming.summary.sample_records import sample_record
from streaming.summary.values import (
    MAX_PARTIAL_VALUES,
    add_values,
    bounded_categories,
    required_reduction,
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Partial:
    """The partial summary of some rows (the accumulator of the combiner)."""

    features: tuple[FeatureSpec, ...]
    max_text_bytes: int
    rows: int
    parts: tuple[FeaturePart, ...]
    """Counts per feature, parallel to `features`."""
    sample: SampledRows = field(default_factory=lambda: SampledRows.empty(()))
    """Sample of the rows that came with a key, over the judged features."""

    @property
    def judged(self) -> tuple[FeatureSpec, ...]:
        """The features whose values are kept in a sampled row."""
        return tuple(spec for spec in self.features if spec.judged)


def start(contract: ModelContract) -> Partial:
    """The partial summary of no rows (create accumulator)."""
    return Partial(
        features=contract.features,
        max_text_bytes=contract.max_text_bytes,
        rows=0,
        parts=tuple(FeaturePart() for _ in contract.features),
        sample=SampledRows.empty([spec for spec in contract.features if spec.judged]),
    )


def add(partial: Partial, batch: pa.RecordBatch, keys: RowKeys | None = None) -> Partial:
    """`partial` with the rows of `batch` added (add input).

    Parameters
    ----------
    partial:
        The counts so far.
    batch:
        A nullable column for each feature of the contract: int64, float64 or text. An absent
        column counts as missing in every row; columns of other names are ignored. A row with a
        list counts for one of its values (`drawn_values`).
    keys:
        `row_keys` of the rows; without keys no row is sampled.

    Raises
    ------
    PermanentError
        When a column cannot be read as the contract's kind.
    """
    batch = with_drawn_values(batch, partial.features, keys)
    positions = {name: at for at, name in enumerate(batch.schema.names)}
    parts = []
    for spec, old in zip(partial.features, partial.parts, strict=True):
        if spec.name in positions:
            column = batch.column(positions[spec.name])
            new = count_column(spec, column, partial.max_text_bytes)
        else:
            new = FeaturePart(missing=batch.num_rows)
        # the counts of no rows need no addition
        parts.append(_add_parts(spec, (old, new) if partial.rows else (new,)))
    sample = partial.sample
    if keys is not None:
        sample = add_rows(
            sample, partial.judged, batch, keys, max_text_bytes=partial.max_text_bytes
        )
    rows = partial.rows + batch.num_rows
    return replace(partial, rows=rows, parts=tuple(parts), sample=sample)


def merge(partials: Iterable[Partial]) -> Partial:
    """The partial summary of all rows of `partials`, at least one (merge accumulators).

    Raises
    ------
    PermanentError
        When they were started from different contracts.
    """
    parts = list(partials)
    if not parts:
        raise ValueError("There is nothing to merge; start with start(contract).")
    first = parts[0]
    if any(part.features != first.features for part in parts[1:]):
        raise PermanentError(
            "Summaries of different features cannot be merged; start all of them from one contract."
        )
    with_rows = [part for part in parts if part.rows]
    if len(with_rows) == 1:  # its counts are within the bounds
        (only,) = with_rows
        return replace(first, rows=only.rows, parts=only.parts, sample=encoded_sample(only))
    return replace(
        first,
        rows=sum(part.rows for part in parts),
        parts=tuple(
            _add_parts(spec, [part.parts[at] for part in parts])
            for at, spec in enumerate(first.features)
        ),
        sample=merge_samples([encoded_sample(part) for part in parts]),
    )


def finish(partial: Partial) -> tuple[FeatureSummary, ...]:
    """The summary of each feature, in the contract's order (extract output)."""
    return tuple(
        _finish_feature(spec, part, partial.rows)
        for spec, part in zip(partial.features, partial.parts, strict=True)
    )


def finish_sample(partial: Partial) -> RowSample | None:
    """The sampled rows as a part of a record; None when no row came with a key."""
    sample = encoded_sample(partial)
    if not len(sample.keys):
        return None
    return sample_record(as_coarse_as_needed(sample), [spec.name for spec in partial.judged])


def encoded_sample(partial: Partial) -> SampledRows:
    """The sampled rows, all encoded."""
    if not partial.sample.uncoded:
        return partial.sample
    return encode_rows(partial.sample, partial.judged, max_text_bytes=partial.max_text_bytes)


def is_counted_by_value(spec: FeatureSpec) -> bool:
    """Whether a feature is counted by value instead of on the grid."""
    return spec.categorical or spec.kind == "text"


def _add_parts(spec: FeatureSpec, parts: Sequence[FeaturePart]) -> FeaturePart:
    if len(parts) == 1 and max(len(parts[0].values), len(parts[0].ids)) <= MAX_PARTIAL_VALUES:
        return parts[0]
    fraction_bits = MAX_FRACTION_BITS
    values, dropped_rows, error = add_values(part.values for part in parts)
    if is_counted_by_value(spec):
        ids, counts = add_counts([(part.ids, part.counts) for part in parts])
        if len(ids) > MAX_PARTIAL_VALUES:
            error = required_reduction(counts, MAX_PARTIAL_VALUES)
            kept = counts > error
            dropped_rows = int(counts.sum() - (counts[kept] - error).sum())
            ids, counts = ids[kept], counts[kept] - error
    else:
        total = add_grids([part.grid for part in parts])
        ids, counts, fraction_bits = total.ids, total.counts, total.fraction_bits
    return FeaturePart(
        missing=sum(part.missing for part in parts),
        non_finite=sum(part.non_finite for part in parts),
        ids=ids,
        counts=counts,
        fraction_bits=fraction_bits,
        values=values,
        tail_rows=dropped_rows + sum(part.tail_rows for part in parts),
        error=error + sum(part.error for part in parts),
        moments=add_moments([part.moments for part in parts]),
    )


def _finish_feature(spec: FeatureSpec, part: FeaturePart, rows: int) -> FeatureSummary:
    ids, counts = part.ids.tolist(), part.counts.tolist()
    grid = categories = None
    if is_counted_by_value(spec):
        by_value = {**part.values, **dict(zip(map(str, ids), counts, strict=True))}
        categories = bounded_categories(by_value, part.tail_rows, part.error)
    else:
        grid = NumericGrid(
            fraction_bits=part.fraction_bits, buckets=tuple(ids), counts=tuple(counts)
        )
    return FeatureSummary(
        name=spec.name,
        rows=rows,
        missing=part.missing,
        non_finite=part.non_finite,
        grid=grid,
        categories=categories,
    )
