"""`driftline backtest` on a log as the stack leaves it: summaries, promotions, verdicts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from msgspec.structs import replace
from typer.testing import CliRunner, Result

from deploy.app.deployment import Deployment
from deploy.backtest.overrides import changed_rules
from deploy.cli.main import app
from deploy.demo.trips import generate
from streaming.contracts import topics
from streaming.contracts.codec import decode_as
from streaming.contracts.errors import ConfigurationError
from streaming.contracts.log import MemoryLog
from streaming.contracts.records import ReferenceSummary, WindowSummary
from streaming.drift import DriftHistory, judge_drift, prepare_reference
from tests.deploy.promtool import PROJECT
from tests.promotions import first_promotion
from tests.streaming.statistics_data import window

RUN = CliRunner()
DEMO = PROJECT / "deploy" / "demo.yaml"
MODEL = "big_tipper"
SECONDS = 5.0
QUIET, ALL = 8, 16
"""Windows 0 to 7 are quiet, from 8 on the fares have risen."""


def summaries(deployment: Deployment) -> list[WindowSummary]:
    contract = deployment.contract(MODEL)
    rng = np.random.default_rng(17)
    found = []
    for at in range(-10, ALL):
        columns = dict(generate(rng, 1_500).columns)
        if at >= QUIET:
            columns["fare"] = columns["fare"] * 1.35  # type: ignore[operator]
        types = {"number": pa.float64(), "integer": pa.int64(), "text": pa.string()}
        batch = pa.RecordBatch.from_arrays(
            [
                pa.array(columns[spec.name], type=types[spec.kind], from_pandas=True, safe=False)
                for spec in contract.features
            ],
            names=[spec.name for spec in contract.features],
        )
        found.append(replace(window(at, batch, contract), sample=None))
    return found


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def world(home: Path) -> MemoryLog:
    """Ten windows of training, then quiet, then a shift; all judged by the rules of the file."""
    patch = pytest.MonkeyPatch()
    patch.setenv("DRIFTLINE_HOME", str(home))
    deployment = Deployment.load(DEMO)
    store, contract, rules = (
        deployment.store(),
        deployment.contract(MODEL),
        deployment.drift_rules(MODEL),
    )
    patch.undo()
    windows = summaries(deployment)
    promotion = first_promotion(store, windows[:10], record_id="promotion-1", at=0.0)
    reference = decode_as(store.get(promotion.artifact), ReferenceSummary)
    log = MemoryLog()
    log.ensure(topics.RECORD_TOPICS)
    log.append([promotion, *windows])
    history, prepared = DriftHistory(), prepare_reference(reference, contract)
    for one in windows:
        known = one.window_start >= 0.0
        verdict, history = judge_drift(
            one,
            prepared if known else None,
            "promotion-1" if known else "",
            history,
            rules,
            contract,
        )
        log.append([verdict])
    return log


@pytest.fixture
def run(world: MemoryLog, home: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    @contextmanager
    def opened(_house: Deployment) -> Iterator[MemoryLog]:
        yield world

    monkeypatch.setattr(Deployment, "log", opened)
    monkeypatch.setenv("DRIFTLINE_HOME", str(home))

    def asked(*words: str) -> Result:
        return RUN.invoke(app, ["-c", str(DEMO), "backtest", MODEL, *words], env={"COLUMNS": "220"})

    return asked


SHIFT = ("--shift", f"{QUIET * SECONDS}..")


def test_both_rule_sets_are_shown_side_by_side(run: Any) -> None:
    shown = run("--since", "0", *SHIFT, "--set", "drift.effect.drifted=1.2")
    assert shown.exit_code == 0, shown.stderr
    for words in ("rules in force", "changed rules", "false alarms", "fare", "first alarm after"):
        assert words in shown.stdout
    row = next(line for line in shown.stdout.splitlines() if "drifted_sd" in line)
    assert row.split()[-2:] == ["0.5", "1.2"]
    assert "disagree on" in shown.stdout


def test_the_data_say_alarms_delay_and_false_alarms(run: Any) -> None:
    asked = ("--since", "0", *SHIFT, "--json", "--set", "drift.effect.drifted=1.2")
    found = json.loads(run(*asked).stdout)
    assert (found["logged"], found["agreeing"]) == (ALL, ALL)
    now, changed = (arm["account"] for arm in found["arms"])
    assert now["windows"] == changed["windows"] == ALL
    assert now["false"]["observed"] == changed["false"]["observed"] == 0
    (delay,) = now["delays"]
    assert 1 <= delay["windows"] <= 3
    assert delay["events"] == 1_500 * delay["windows"]
    assert delay["features"] == ["fare"]
    assert delay["to_drifted"] is not None
    assert changed["delays"][0]["to_drifted"] is None
    assert found["differing"] > 0


def test_without_a_known_shift_every_alarm_is_false(run: Any) -> None:
    (arm,) = json.loads(run("--since", "0", "--json").stdout)["arms"]
    assert arm["account"]["false"]["observed"] == arm["account"]["alarms"] > 0


def test_a_file_of_rules_changes_only_what_it_names(run: Any, tmp_path: Path) -> None:
    file = tmp_path / "changed.yaml"
    file.write_text("false_alarms: 1 per 7d\neffect: {suspected: 0.1}\n")
    whole = tmp_path / "whole.yaml"
    whole.write_text(f"models:\n  {MODEL}:\n    drift: {{sustained: 2 of 4}}\n")
    before = Deployment.load(DEMO)
    small = changed_rules(before, MODEL, file, ()).drift_rules(MODEL)
    assert (small.period_seconds, small.suspected_sd, small.drifted_sd) == (604_800.0, 0.1, 0.5)
    larger = changed_rules(before, MODEL, whole, ["drift.sustained=3 of 6"]).drift_rules(MODEL)
    assert (larger.sustained, larger.of) == (3, 6)
    assert before.drift_rules(MODEL).of == 5
    shown = run("--rules", str(file), "--json")
    assert [arm["name"] for arm in json.loads(shown.stdout)["arms"]] == [
        "rules in force",
        "changed rules",
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        ("--set", "retrain.cooldown=5m"),
        ("--set", "drift.false_alarm=1 per 7d"),
        ("--rules", "nowhere.yaml"),
        ("--shift", "3d"),
        ("--shift", "100..50"),
        ("--since", "yesterday"),
        ("--since", "50", "--until", "20"),
        ("--plot", "x.jpg"),
    ],
)
def test_what_cannot_be_understood_is_exit_2(run: Any, wrong: tuple[str, ...]) -> None:
    shown = run(*wrong)
    assert shown.exit_code == 2, shown.stdout
    assert "ConfigurationError" in shown.stderr


def test_a_nearly_right_key_is_named(world: MemoryLog) -> None:
    with pytest.raises(ConfigurationError, match="Did you mean false_alarms"):
        changed_rules(Deployment.load(DEMO), MODEL, None, ["drift.false_alarm=1 per 7d"])


def test_a_period_without_windows_is_exit_3(run: Any) -> None:
    shown = run("--since", "1h")
    assert shown.exit_code == 3
    assert "driftline drift" in shown.stderr


def test_a_lost_reference_is_said_and_judges_nothing(run: Any, home: Path) -> None:
    (file,) = home.rglob("1.json")
    kept = file.read_bytes()
    file.write_bytes(b"{}")
    try:
        shown = run("--since", "0")
    finally:
        file.write_bytes(kept)
    assert shown.exit_code == 0, shown.stderr
    assert "No reference is left of version 1" in shown.stdout
    assert f"Of {ALL} logged verdicts 0" in shown.stdout


@pytest.mark.parametrize("name", ["backtest.png", "backtest.svg"])
def test_the_picture_is_drawn(run: Any, tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    shown = run("--plot", str(file), *SHIFT, "--set", "drift.min_rows=5000")
    assert shown.exit_code == 0, shown.stderr
    content = file.read_bytes()
    assert content[:4] == b"\x89PNG" if name.endswith("png") else b"changed rules" in content
