"""Every kind of record has a row; the row says what its record says."""

from __future__ import annotations

from typing import get_args

import pytest

from deploy.projection.rows import kind_of, row_of
from streaming.contracts.records import AnyRecord, CommandReply, DeadLetter
from tests.deploy.console import scenario
from tests.deploy.projection.builders import promotion, verdict


def test_kinds_are_different() -> None:
    kinds = [kind_of(kind) for kind in get_args(AnyRecord)]
    assert len(set(kinds)) == len(kinds)


def test_a_verdict_has_its_window_and_its_largest_effect_over_its_limit() -> None:
    row = row_of(verdict(3, caused_by=("a", "b", "a")))
    assert (row.kind, row.outcome, row.window_start, row.window_end) == (
        "drift-verdict",
        "stable",
        120.0,
        180.0,
    )
    assert row.measure == pytest.approx(0.25)
    assert row.causes == ("a", "b")
    assert row.reason == "window 3"


def test_a_promotion_has_its_version_and_its_change() -> None:
    row = row_of(promotion(2))
    assert (row.version, row.outcome) == (2, "promoted")
    assert row.headline == "version 2 promoted (replaced 1)"


def test_a_reply_belongs_to_its_command_and_a_dead_letter_to_its_place() -> None:
    reply = CommandReply(
        record_id="r", model="m", at=1.0, command_id="c", accepted=False, reason="Conflict: no"
    )
    assert (row_of(reply).subject, row_of(reply).outcome) == ("c", "refused")
    dead = DeadLetter(
        record_id="d",
        model="m",
        at=1.0,
        topic="trips",
        partition=2,
        offset=7,
        reason="wrong_type",
        detail="fare is text",
        payload=b"{}",
        payload_bytes=2,
    )
    assert (row_of(dead).subject, row_of(dead).outcome) == ("trips/2@7", "wrong_type")
    assert row_of(dead).reason == "fare is text"


def test_records_of_the_daemon_have_a_headline() -> None:
    loop = scenario.shared()
    kinds = set()
    for kind in get_args(AnyRecord):
        if kind_of(kind) == "reference-summary":  # a file in the artifact store, on no topic
            continue
        for record in loop.records(kind):
            row = row_of(record)
            kinds.add(row.kind)
            assert row.headline
            assert row.headline != kind.__name__
    assert len(kinds) >= 18
