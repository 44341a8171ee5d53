"""`driftline predict --bulk`: usage, and what stops it before anything is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from streaming.contracts.errors import UnavailableError
from streaming.contracts.log import MemoryLog
from streaming.contracts.topics import RECORD_TOPICS
from tests.deploy.cli.builders import MODEL, promotion
from tests.deploy.cli.runner import run


def log(*live: int) -> MemoryLog:
    records = MemoryLog()
    records.ensure(RECORD_TOPICS)
    records.append([promotion(number) for number in live])
    return records


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--bulk", "rows.csv"], "Name the file for the predictions: --to"),
        (["--bulk", "rows.csv", "--last", "3", "--to", "o.csv"], "take no rows, --last"),
        (["--rows", "[]", "--to", "o.csv"], "belong to --bulk"),
        (["--last", "1", "--version", "2"], "belong to --bulk"),
    ],
)
def test_options_that_do_not_belong_together_are_refused(words: list[str], message: str) -> None:
    shown = run("predict", MODEL, *words, log=log())
    assert shown.exit_code == 2
    assert message in shown.stderr


def test_without_a_live_version_one_must_be_named(tmp_path: Path) -> None:
    words = ("--bulk", "rows.csv", "--to", str(tmp_path / "o.csv"))
    shown = run("predict", MODEL, *words, log=log())
    assert shown.exit_code == 3
    assert "name one with --version" in shown.stderr


def test_a_version_that_is_not_in_the_store_is_not_found(tmp_path: Path) -> None:
    env = {"DRIFTLINE_HOME": str(tmp_path)}
    words = ("--bulk", "rows.csv", "--to", str(tmp_path / "o.csv"))
    live = run("predict", MODEL, *words, log=log(1, 2), env=env)
    named = run("predict", MODEL, *words, "--version", "7", log=log(1), env=env)
    assert (live.exit_code, named.exit_code) == (3, 3)
    assert "Version 2 of big_tipper is not in the store" in live.stderr
    assert "Version 7 of big_tipper is not in the store" in named.stderr


def test_without_the_log_it_is_said_that_a_version_can_be_named(tmp_path: Path) -> None:
    class Away(MemoryLog):
        def spans(self, topic: str, *, since: float | None = None) -> Any:
            raise UnavailableError("Kafka is away.")

    words = ("--bulk", "rows.csv", "--to", str(tmp_path / "o.csv"))
    shown = run("predict", MODEL, *words, log=Away())
    assert shown.exit_code == 8
    assert "--version N names one without it. Kafka is away." in shown.stderr
