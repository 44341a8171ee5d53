"""Topics, ids, meters and the clock hold together."""

from __future__ import annotations

import re
from typing import get_args

import pytest

from streaming.contracts import metrics, topics
from streaming.contracts.clock import ManualClock
from streaming.contracts.ids import record_id
from streaming.contracts.records import AnyRecord, ReferenceSummary


def test_every_record_has_exactly_one_topic() -> None:
    crossing = set(get_args(AnyRecord)) - {ReferenceSummary}  # lies in the artifact store
    assert set(topics.TOPIC_OF) == crossing


def test_topic_names_are_unique_and_speakable() -> None:
    names = [topic.name for topic in topics.RECORD_TOPICS]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", name) for name in names)


def test_meters_follow_the_naming_rules() -> None:
    for meter in metrics.METRICS:
        assert meter.name.startswith("driftline_")
        assert (meter.kind == "counter") == meter.name.endswith("_total")
        assert meter.help.endswith(".")
        assert (meter.kind == "histogram") == bool(meter.buckets)
    assert len({meter.name for meter in metrics.METRICS}) == len(metrics.METRICS)


def test_ids_separate_their_parts() -> None:
    assert record_id("k", "m", "ab", "c") != record_id("k", "m", "a", "bc")
    assert record_id("k", "m", 1) != record_id("k", "m", "1")


def test_a_clock_never_runs_backwards() -> None:
    clock = ManualClock(5.0)
    with pytest.raises(ValueError, match="back"):
        clock.advance(-1)
