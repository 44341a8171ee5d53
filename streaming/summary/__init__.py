"""What a set of rows held, per feature: start / add / merge / finish, as a Beam combiner.

Numbers are counted on the universal grid after subtracting the feature's pivot, categories
exactly by value. Everything is a sum, so parts merge in any order to the same summary. The one
exception is a bound on distinct values, see `values`.
"""

from streaming.summary.partial import Partial, add, finish, finish_sample, merge, start
from streaming.summary.records import merge_summaries
from streaming.summary.sample import Keys, row_keys
from streaming.summary.sample_records import sample_union
from streaming.summary.values import MAX_PARTIAL_VALUES, MAX_VALUES
from streaming.summary.wire import from_bytes, to_bytes

__all__ = [
    "MAX_PARTIAL_VALUES",
    "MAX_VALUES",
    "Keys",
    "Partial",
    "add",
    "finish",
    "finish_sample",
    "from_bytes",
    "merge",
    "merge_summaries",
    "row_keys",
    "sample_union",
    "start",
    "to_bytes",
]
