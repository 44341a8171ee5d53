"""Summaries of rows, per feature, as a Beam combiner: `start`, `add`, `merge`, `finish`.

The four functions are Beam's create accumulator, add input, merge accumulators and extract output.
Numbers are counted on the universal grid, at the resolution that their own spread needs
(`resolution`), categories exactly by value. Every field is a sum, so partial summaries merge to the
same summary in any order. The only exception is the bound on distinct values, see `values`.
"""

from streaming.summary.partial import Partial, add, finish, finish_sample, merge, start
from streaming.summary.records import merge_summaries
from streaming.summary.sample import RowKeys, row_keys
from streaming.summary.sample_records import merge_sample_records
from streaming.summary.values import MAX_PARTIAL_VALUES, MAX_VALUES
from streaming.summary.wire import from_bytes, to_bytes

__all__ = [
    "MAX_PARTIAL_VALUES",
    "MAX_VALUES",
    "Partial",
    "RowKeys",
    "add",
    "finish",
    "finish_sample",
    "from_bytes",
    "merge",
    "merge_sample_records",
    "merge_summaries",
    "row_keys",
    "start",
    "to_bytes",
]
