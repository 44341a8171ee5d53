"""The four steps of a combiner. Parts are values: `add` and `merge` return new ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa

from streaming.contracts.errors import PermanentError
from streaming.contracts.model import FeatureSpec, ModelContract
from streaming.contracts.records import FeatureSummary, NumericGrid, RowSample
from streaming.grid import add_counts
from streaming.summary.columns import FeaturePart, count_column
from streaming.summary.moments import add_moments
from streaming.summary.sample import Keys, Sample, add_rows, merge_samples, settle
from streaming.summary.sample_records import sample_record
from streaming.summary.values import MAX_PARTIAL_VALUES, add_values, bounded, taken_off


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Partial:
    """The summary of some rows, still open to more; `parts` are parallel to `features`."""

    features: tuple[FeatureSpec, ...]
    max_text_bytes: int
    rows: int
    parts: tuple[FeaturePart, ...]
    sample: Sample = field(default_factory=lambda: Sample.empty(0))
    """Of rows that came with a key, over the judged features."""

    @property
    def judged(self) -> tuple[FeatureSpec, ...]:
        """The features whose values a sampled row keeps."""
        return tuple(spec for spec in self.features if spec.judged)


def start(contract: ModelContract) -> Partial:
    """The summary of no rows."""
    return Partial(
        features=contract.features,
        max_text_bytes=contract.max_text_bytes,
        rows=0,
        parts=tuple(FeaturePart() for _ in contract.features),
        sample=Sample.empty(sum(spec.judged for spec in contract.features)),
    )


def add(partial: Partial, batch: pa.RecordBatch, keys: Keys | None = None) -> Partial:
    """`partial` with the rows of `batch`.

    Parameters
    ----------
    partial:
        What was counted so far.
    batch:
        A nullable column for each feature of the contract: int64, float64 or text. A column
        that is not there counts as missing in every row; other columns are ignored.
    keys:
        `row_keys` of the rows, so that some may be sampled; none are without.

    Raises
    ------
    PermanentError
        When a column cannot be read as the contract's kind.
    """
    place = {name: at for at, name in enumerate(batch.schema.names)}
    parts = []
    for spec, old in zip(partial.features, partial.parts, strict=True):
        if spec.name in place:
            column = batch.column(place[spec.name])
            new = count_column(spec, column, partial.max_text_bytes)
        else:
            new = FeaturePart(missing=batch.num_rows)
        parts.append(_add_parts(spec, (old, new)))
    sample = partial.sample
    if keys is not None:
        most = partial.max_text_bytes
        sample = add_rows(sample, partial.judged, batch, keys, max_text_bytes=most)
    rows = partial.rows + batch.num_rows
    return replace(partial, rows=rows, parts=tuple(parts), sample=sample)


def merge(partials: Iterable[Partial]) -> Partial:
    """One summary of the rows of all `partials`, of which there must be at least one.

    Raises
    ------
    PermanentError
        When they were started from different contracts.
    """
    together = list(partials)
    if not together:
        raise ValueError("There is nothing to merge; begin with start(contract).")
    head = together[0]
    if any(one.features != head.features for one in together[1:]):
        raise PermanentError(
            "Summaries of different features or pivots cannot be merged; start all of them from "
            "one contract."
        )
    return replace(
        head,
        rows=sum(one.rows for one in together),
        parts=tuple(
            _add_parts(spec, [one.parts[at] for one in together])
            for at, spec in enumerate(head.features)
        ),
        sample=merge_samples([settled_sample(one) for one in together]),
    )


def finish(partial: Partial) -> tuple[FeatureSummary, ...]:
    """The summary as the parts of a record, in the contract's order of features."""
    return tuple(
        _finish_one(spec, part, partial.rows)
        for spec, part in zip(partial.features, partial.parts, strict=True)
    )


def finish_sample(partial: Partial) -> RowSample | None:
    """The sampled rows as the part of a record; None when no row came with a key."""
    sample = settled_sample(partial)
    if not len(sample.keys):
        return None
    return sample_record(sample, [spec.name for spec in partial.judged])


def settled_sample(partial: Partial) -> Sample:
    """The sampled rows, all of them coded."""
    if not partial.sample.waiting:
        return partial.sample
    return settle(partial.sample, partial.judged, max_text_bytes=partial.max_text_bytes)


def is_counted_by_value(spec: FeatureSpec) -> bool:
    """Whether a feature is counted by value, not on the grid."""
    return spec.categorical or spec.kind == "text"


def _add_parts(spec: FeatureSpec, parts: Sequence[FeaturePart]) -> FeaturePart:
    ids, counts = add_counts([(part.ids, part.counts) for part in parts])
    values, cut_off, error = add_values(part.values for part in parts)
    if is_counted_by_value(spec) and len(ids) > MAX_PARTIAL_VALUES:
        error = taken_off(counts, MAX_PARTIAL_VALUES)
        kept = counts > error
        cut_off = int(counts.sum() - (counts[kept] - error).sum())
        ids, counts = ids[kept], counts[kept] - error
    return FeaturePart(
        missing=sum(part.missing for part in parts),
        non_finite=sum(part.non_finite for part in parts),
        ids=ids,
        counts=counts,
        values=values,
        tail_rows=cut_off + sum(part.tail_rows for part in parts),
        error=error + sum(part.error for part in parts),
        moments=add_moments([part.moments for part in parts]),
    )


def _finish_one(spec: FeatureSpec, part: FeaturePart, rows: int) -> FeatureSummary:
    numbers = part.ids.tolist(), part.counts.tolist()
    grid = categories = None
    if is_counted_by_value(spec):
        by_value = {**part.values, **dict(zip(map(str, numbers[0]), numbers[1], strict=True))}
        categories = bounded(by_value, part.tail_rows, part.error)
    else:
        grid = NumericGrid(pivot=spec.pivot, buckets=tuple(numbers[0]), counts=tuple(numbers[1]))
    return FeatureSummary(
        name=spec.name,
        rows=rows,
        missing=part.missing,
        non_finite=part.non_finite,
        grid=grid,
        categories=categories,
    )
