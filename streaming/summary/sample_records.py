"""Sampled rows as parts of records."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from streaming.contracts.errors import DecodeError
from streaming.contracts.records import RowSample
from streaming.grid import FRACTION_BITS
from streaming.summary.sample import (
    FINE_BITS,
    MAX_REFERENCE_ROWS,
    NOT_ON_GRID,
    SampledRows,
    merge_samples,
    pack,
    unpack,
)


def sample_record(sample: SampledRows, features: Sequence[str]) -> RowSample:
    """The record of a sample of rows over these features."""
    return RowSample(
        features=tuple(features),
        rows=len(sample.keys),
        below=sample.below,
        data=pack(sample),
        fraction_bits=sample.fraction_bits,
    )


def read_sample(record: RowSample) -> SampledRows:
    """The sampled rows of a record.

    Raises
    ------
    DecodeError
        When its bytes hold no such rows.
    """
    try:
        return unpack(
            record.data,
            rows=record.rows,
            fraction_bits=_fraction_bits(record),
            below=record.below,
        )
    except ValueError as error:
        raise DecodeError(f"This sample of rows cannot be read: {error}.") from error


def _fraction_bits(record: RowSample) -> tuple[int, ...]:
    """The bits of each column; a category of an older record counts as a number of six bits, and
    keeps its codes, because nothing is coarser."""
    bits = record.fraction_bits or (FRACTION_BITS,) * len(record.features)
    if len(bits) != len(record.features):
        raise ValueError(f"bits of {len(bits)} features for {len(record.features)}")
    if not all(bit == NOT_ON_GRID or FRACTION_BITS <= bit <= FINE_BITS for bit in bits):
        raise ValueError(f"fraction bits outside {FRACTION_BITS} to {FINE_BITS}")
    return bits


def merge_sample_records(
    records: Iterable[RowSample | None], *, max_rows: int = MAX_REFERENCE_ROWS
) -> RowSample | None:
    """A sample of the rows behind all records; None when no record has a sample.

    Samples over other features than the last one's are left out, and so are samples that cannot be
    read: a reference must not fail because of what only one of many tests needs.
    """
    present = [record for record in records if record is not None and record.rows]
    if not present:
        return None
    samples = []
    for record in present:
        if record.features == present[-1].features:
            try:
                samples.append(read_sample(record))
            except DecodeError:
                continue
    if not samples:
        return None
    return sample_record(merge_samples(samples, max_rows=max_rows), present[-1].features)
