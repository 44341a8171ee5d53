"""`driftline schema` as users meet it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from deploy.cli import app
from deploy.wiring import House
from streaming.contracts.log import MemoryLog
from streaming.contracts.records import Categories, FeatureSummary, WindowSummary
from streaming.engines import schema_file
from tests.deploy.promtool import PROJECT

RUN = CliRunner()
DEMO = str(PROJECT / "deploy" / "demo.yaml")


def window(index: int, fare_missing: int = 0) -> WindowSummary:
    values = Categories(values=("Cash", "Crypto"), counts=(900, 100))
    return WindowSummary(
        record_id=f"w{index}", model="big_tipper", at=float(index),
        window_start=60.0 * index, window_end=60.0 * index + 60,
        accepted=1000, dead_letters=0, late=0, offsets_read=1000, offsets=(),
        features=(
            FeatureSummary(name="payment_type", rows=1000, missing=0, categories=values),
            FeatureSummary(name="fare", rows=1000, missing=fare_missing),
        ),
    )  # fmt: skip


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> MemoryLog:
    made = MemoryLog()

    @contextmanager
    def opened(_house: House) -> Iterator[MemoryLog]:
        yield made

    monkeypatch.setattr(House, "log", opened)
    return made


def ask(*words: str) -> tuple[int, str]:
    shown = RUN.invoke(app, ["--config", DEMO, "schema", *words], env={"COLUMNS": "200"})
    return shown.exit_code, shown.stdout


def test_a_new_value_is_found_shown_as_a_diff_and_written(log: MemoryLog, tmp_path: Path) -> None:
    log.append([window(index) for index in range(3)])
    code, shown = ask("check", "big_tipper")
    assert code == 0
    assert "suspected" in shown
    assert "unseen value" in shown
    after = tmp_path / "next.pbtxt"
    code, shown = ask("propose", "big_tipper", "--write", str(after))
    assert code == 0
    assert '+  value: "Crypto"' in shown
    kept = {column.name: column for column in schema_file.read(after).columns}
    assert "Crypto" in kept["payment_type"].values
    assert ask("propose", "big_tipper", "--write", str(after))[0] == 5
    code, shown = ask("propose", "big_tipper", "--json")
    assert [change["act"] for change in json.loads(shown)["changes"]] == ["extend_domain"]


def test_a_broken_column_is_exit_4_and_json_is_still_the_report(log: MemoryLog) -> None:
    log.append([window(0), msgspec.structs.replace(window(1, 1000), at=1.0)])
    code, shown = ask("check", "big_tipper", "--json")
    assert code == 4
    assert json.loads(shown)["outcome"] == "broken"


def test_no_window_is_not_found(log: MemoryLog) -> None:
    assert log.spans("window-statistics") is not None
    assert ask("check", "big_tipper")[0] == 3
