"""Every query uses an index, whatever is in the tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import pytest

from deploy.projection import database
from deploy.projection.queries import SQL, Query
from deploy.projection.reader import ProjectionReader
from deploy.projection.writer import TRIM, ProjectionWriter
from streaming.contracts import topics
from streaming.contracts.log import MemoryLog
from streaming.contracts.records import DriftVerdict, Promotion
from tests.deploy.projection.builders import projected, promotion, verdict

PARAMETERS = {
    "model": "m",
    "models": '["m"]',
    "kind": "drift-verdict",
    "since": 0.0,
    "before": 1e9,
    "time": 0.0,
    "count": 10,
    "record_id": "a",
    "prefix": "a",
    "after": "b",
    "subject": "s",
    "version": 1,
    "topic": "t",
    "partition": 0,
    "position": 0,
    "person": "",
    "action": "",
    "answer": "",
    "skip": 0,
    "seconds": 1.0,
}
SMALL = {"m", "json_each"}
"""Tables in memory and tables with a row for each partition or problem."""

SORTED_AFTERWARDS = {"of_version_of_all_models", "people", "by_bin"}
"""Versions with one number, people and parts of time are few."""


def plan(
    statement: str, tmp_path: Path, parameters: Mapping[str, Any] | Sequence[Any]
) -> list[str]:
    ProjectionWriter(tmp_path).close()
    connection = database.open_to_read(tmp_path / database.FILE)
    rows = connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
    connection.close()
    return [row[3] for row in rows]


def test_each_query_has_a_name() -> None:
    assert set(SQL) == set(get_args(Query))


@pytest.mark.parametrize("name", get_args(Query))
def test_each_query_uses_an_index(name: Query, tmp_path: Path) -> None:
    steps = plan(SQL[name], tmp_path, PARAMETERS)
    assert steps
    for step in steps:
        if "VIRTUAL TABLE" in step or name in ("positions", "unreadable"):
            assert "TEMP B-TREE" not in step
            continue
        assert not step.startswith("SCAN"), steps
        sorted_afterwards = "TEMP B-TREE" in step
        # the versions of all models with one number are few, and so are people
        assert not sorted_afterwards or name in SORTED_AFTERWARDS, steps


def test_trimming_uses_an_index(tmp_path: Path) -> None:
    steps = plan(TRIM, tmp_path, ("m", "k", 1, 1))
    assert not any(step.startswith("SCAN") for step in steps), steps


@pytest.fixture
def reader(tmp_path: Path) -> ProjectionReader:
    log = MemoryLog()
    log.ensure(topics.RECORD_TOPICS)
    log.append([verdict(number) for number in range(5)])
    log.append([verdict(7, model="n"), promotion(1), promotion(2), promotion(2, model="n")])
    return projected(log, tmp_path)


def test_the_newest_come_first(reader: ProjectionReader) -> None:
    assert [row.at for row in reader.newest(DriftVerdict, "m", 2)] == [240.0, 180.0]
    assert [row.model for row in reader.newest(DriftVerdict, count=2)] == ["n", "m"]
    assert [row.at for row in reader.before(DriftVerdict, "m", 180.0, 2)] == [120.0, 60.0]


def test_the_newest_of_each_model_leaves_out_models_without_any(reader: ProjectionReader) -> None:
    newest = reader.newest_of_each(DriftVerdict, ["m", "n", "unknown"])
    assert {name: row.at for name, row in newest.items()} == {"m": 240.0, "n": 420.0}


def test_a_version_is_found_in_one_model_and_in_any(reader: ProjectionReader) -> None:
    assert [row.model for row in reader.of_version(Promotion, "m", 2)] == ["m"]
    assert len(reader.of_version(Promotion, None, 2, 9)) == 2
    assert reader.of_version(Promotion, "m", 9) == []


def test_a_timeline_has_all_kinds(reader: ProjectionReader) -> None:
    rows = reader.timeline("m", since=200.0, count=9)
    assert [row.kind for row in rows] == ["promotion", "promotion", "drift-verdict"]
    assert [row.at for row in reader.since(DriftVerdict, 200.0, 9)] == [420.0, 240.0]
