"""`driftline models | versions | trace` on a log in memory."""

from __future__ import annotations

from msgspec.structs import replace

from deploy.records.describe import describe
from streaming.contracts.log import MemoryLog
from tests.deploy.cli.builders import MODEL, promotion, version, waiting
from tests.deploy.cli.runner import data, run
from tests.deploy.records.test_reader import CountingLog


def test_models_show_the_live_version_with_its_time_zone() -> None:
    log = MemoryLog()
    assert data(run("models", "--json", log=log)) == {MODEL: None}
    assert "nothing promoted yet" in run("models", log=log).stdout
    log.append([version(1), promotion(1)])
    assert data(run("models", "--json", log=log))[MODEL]["version"] == 1
    assert "1970-01-01 00:00:11 UTC" in run("models", log=log).stdout


def test_versions_are_the_newest_and_read_from_the_end() -> None:
    log = CountingLog()
    log.append([version(number) for number in range(1, 2001)])
    CountingLog.read_so_far = 0
    shown = data(run("versions", MODEL, "--last", "3", "--json", log=log))
    assert [entry["version"] for entry in shown] == [1998, 1999, 2000]
    assert CountingLog.read_so_far <= 16
    assert "0.900" in run("versions", MODEL, log=log).stdout


def test_a_trace_follows_the_causes() -> None:
    log = MemoryLog()
    log.append([version(1), promotion(1)])
    shown = data(run("trace", "1", "--model", MODEL, "--json", log=log))
    assert shown["record"]["kind"] == "promotion"
    assert [cause["record"]["kind"] for cause in shown["causes"]] == ["model-version"]
    assert "version-1" in run("trace", "1", log=log).stdout
    assert run("trace", "7", log=log).exit_code == 3


def test_a_trace_prints_each_record_once() -> None:
    log = MemoryLog()
    ancestor = version(1)
    middle = replace(version(2), caused_by=("version-1",))
    log.append([ancestor, middle, replace(promotion(2), caused_by=("version-2", "version-1"))])
    lines = run("trace", "2", log=log).stdout.splitlines()
    assert len(lines) == 4
    assert sum("version 1 blessed" in line for line in lines) == 1
    assert lines[-1].endswith("(above)  [version-1]")


def test_an_announcement_is_not_a_refusal() -> None:
    assert describe(waiting("0 of 20 rows.")) == "waiting: 0 of 20 rows."
    refusal = replace(waiting(""), reason="No data.")
    assert describe(refusal) == "refused: No data."
