"""Sampled rows as parts of records."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from streaming.contracts.errors import DecodeError
from streaming.contracts.records import RowSample
from streaming.summary.sample import MAX_REFERENCE_ROWS, Sample, merge_samples, pack, unpack


def sample_record(sample: Sample, features: Sequence[str]) -> RowSample:
    """The record of a sample over these features."""
    return RowSample(
        features=tuple(features),
        rows=len(sample.keys),
        below=sample.below,
        data=pack(sample),
    )


def read_sample(record: RowSample) -> Sample:
    """The rows of a record.

    Raises
    ------
    DecodeError
        When its bytes hold no such rows.
    """
    try:
        return unpack(
            record.data, rows=record.rows, features=len(record.features), below=record.below
        )
    except ValueError as error:
        raise DecodeError(f"This sample of rows cannot be read: {error}.") from error


def sample_union(
    records: Iterable[RowSample | None], *, most: int = MAX_REFERENCE_ROWS
) -> RowSample | None:
    """A sample of the rows of all that have one; None when none has.

    Samples over other features than the last one's are left out, and one that cannot be read:
    a yardstick must not fail for what only one test of many needs.
    """
    known = [record for record in records if record is not None and record.rows]
    if not known:
        return None
    found = []
    for record in known:
        if record.features == known[-1].features:
            try:
                found.append(read_sample(record))
            except DecodeError:
                continue
    if not found:
        return None
    return sample_record(merge_samples(found, most=most), known[-1].features)
