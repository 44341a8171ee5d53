"""Computes the records of a log again, for tests."""

from __future__ import annotations

from collections.abc import Sequence

from serving.recompute import recompute_all
from streaming.contracts.codec import decode, encode
from streaming.contracts.recomputed import Recomputed
from streaming.contracts.records import AnyRecord, Record, RolloutInputs, RulesInForce


def computed_again(log: Sequence[Record]) -> tuple[Recomputed, ...]:
    """The result for every verdict, status, comparison and promotion, from what the log holds."""
    read: list[AnyRecord] = [decode(encode(record)) for record in log]
    return recompute_all(
        read,
        {record.record_id: record for record in read},
        [record for record in read if isinstance(record, RolloutInputs)],
        [record for record in read if isinstance(record, RulesInForce)],
    )
