"""Consistency of topics, ids, metrics and the clock."""

from __future__ import annotations

import re
from typing import get_args

import pytest

from streaming.contracts import metrics, topics
from streaming.contracts.clock import ManualClock
from streaming.contracts.ids import record_id
from streaming.contracts.records import AnyRecord, ReferenceSummary


def test_every_record_has_exactly_one_topic() -> None:
    sent = set(get_args(AnyRecord)) - {ReferenceSummary}  # stored in the artifact store
    assert set(topics.TOPIC_OF) == sent


def test_topic_names_are_unique_and_in_kebab_case() -> None:
    names = [topic.name for topic in topics.RECORD_TOPICS]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", name) for name in names)


def test_metrics_follow_the_naming_rules() -> None:
    for metric in metrics.METRICS:
        assert metric.name.startswith("driftline_")
        assert (metric.kind == "counter") == metric.name.endswith("_total")
        assert metric.help.endswith(".")
        assert (metric.kind == "histogram") == bool(metric.buckets)
    assert len({metric.name for metric in metrics.METRICS}) == len(metrics.METRICS)


def test_ids_depend_on_the_boundaries_of_their_parts() -> None:
    assert record_id("k", "m", "ab", "c") != record_id("k", "m", "a", "bc")
    assert record_id("k", "m", 1) != record_id("k", "m", "1")


def test_a_clock_never_runs_backwards() -> None:
    clock = ManualClock(5.0)
    with pytest.raises(ValueError, match="back"):
        clock.advance(-1)
