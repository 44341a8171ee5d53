"""`driftline backtest` on a log as the stack leaves it: summaries, promotions, verdicts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from msgspec.structs import replace
from typer.testing import Result

from deploy.app.deployment import Deployment
from deploy.backtest.overrides import changed_rules
from deploy.demo.trips import generate
from streaming.contracts import topics
from streaming.contracts.codec import decode_as
from streaming.contracts.errors import ConfigurationError
from streaming.contracts.log import MemoryLog
from streaming.contracts.records import ReferenceSummary, WindowSummary
from streaming.drift import DriftHistory, judge_drift, prepare_reference
from tests.deploy.cli.runner import DEMO
from tests.deploy.cli.runner import run as run_command
from tests.promotions import first_promotion
from tests.streaming.statistics_data import window

MODEL = "big_tipper"
SECONDS = 5.0
QUIET, ALL = 8, 16
"""Windows 0 to 7 are quiet, from 8 on the fares have risen."""


def summaries(deployment: Deployment) -> list[WindowSummary]:
    contract = deployment.contract(MODEL)
    rng = np.random.default_rng(17)
    windows = []
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
        windows.append(replace(window(at, batch, contract), sample=None))
    return windows


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
    for summary in windows:
        promoted = summary.window_start >= 0.0
        verdict, history = judge_drift(
            summary,
            prepared if promoted else None,
            "promotion-1" if promoted else "",
            history,
            rules,
            contract,
        )
        log.append([verdict])
    return log


@pytest.fixture
def run(world: MemoryLog, home: Path) -> Any:
    def backtest(*words: str) -> Result:
        env = {"DRIFTLINE_HOME": str(home), "COLUMNS": "220"}
        return run_command("backtest", MODEL, *words, log=world, env=env)

    return backtest


SHIFT = ("--shift", f"{QUIET * SECONDS}..")


def test_both_rule_sets_are_shown_side_by_side(run: Any) -> None:
    shown = run("--since", "0", *SHIFT, "--set", "drift.effect.drifted=1.2")
    assert shown.exit_code == 0, shown.stderr
    for words in ("rules in force", "changed rules", "false alarms", "fare", "first alarm after"):
        assert words in shown.stdout
    row = next(line for line in shown.stdout.splitlines() if "drift.effect.drifted" in line)
    assert row.split()[-2:] == ["0.5", "1.2"]
    assert "disagree on" in shown.stdout


def test_the_json_has_alarms_delay_and_false_alarms(run: Any) -> None:
    words = ("--since", "0", *SHIFT, "--json", "--set", "drift.effect.drifted=1.2")
    comparison = json.loads(run(*words).stdout)
    assert (comparison["logged"], comparison["agreeing"]) == (ALL, ALL)
    now, changed = (side["result"] for side in comparison["runs"])
    assert now["windows"] == changed["windows"] == ALL
    assert now["false"]["observed"] == changed["false"]["observed"] == 0
    (delay,) = now["delays"]
    assert 1 <= delay["windows"] <= 3
    assert delay["events"] == 1_500 * delay["windows"]
    assert delay["features"] == ["fare"]
    assert delay["windows_to_drifted"] is not None
    assert changed["delays"][0]["windows_to_drifted"] is None
    assert comparison["differing"] > 0


def test_without_a_known_shift_every_alarm_is_false(run: Any) -> None:
    (side,) = json.loads(run("--since", "0", "--json").stdout)["runs"]
    assert side["result"]["false"]["observed"] == side["result"]["alarms"] > 0


def test_a_file_of_rules_changes_only_what_it_names(run: Any, tmp_path: Path) -> None:
    file = tmp_path / "changed.yaml"
    file.write_text("false_alarms: 1 per 7d\neffect: {suspected: 0.1}\n")
    complete = tmp_path / "complete.yaml"
    complete.write_text(f"models:\n  {MODEL}:\n    drift: {{sustained: 2 of 4}}\n")
    before = Deployment.load(DEMO)
    small = changed_rules(before, MODEL, file, ()).drift_rules(MODEL)
    assert (small.period_seconds, small.suspected_sd, small.drifted_sd) == (604_800.0, 0.1, 0.5)
    larger = changed_rules(before, MODEL, complete, ["drift.sustained=3 of 6"]).drift_rules(MODEL)
    assert (larger.sustained, larger.of) == (3, 6)
    assert before.drift_rules(MODEL).of == 5
    shown = run("--rules", str(file), "--json")
    assert [side["name"] for side in json.loads(shown.stdout)["runs"]] == [
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


def test_a_lost_reference_is_reported_and_its_windows_are_inconclusive(
    run: Any, home: Path
) -> None:
    (file,) = home.rglob("1.json")
    kept = file.read_bytes()
    file.write_bytes(b"{}")
    try:
        shown = run("--since", "0")
    finally:
        file.write_bytes(kept)
    assert shown.exit_code == 0, shown.stderr
    assert "The reference of version 1 is lost" in shown.stdout
    assert f"Of {ALL} logged verdicts 0" in shown.stdout


@pytest.mark.parametrize("name", ["backtest.png", "backtest.svg"])
def test_the_chart_is_drawn(run: Any, tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    shown = run("--plot", str(file), *SHIFT, "--set", "drift.min_rows=5000")
    assert shown.exit_code == 0, shown.stderr
    content = file.read_bytes()
    assert content[:4] == b"\x89PNG" if name.endswith("png") else b"changed rules" in content


@pytest.mark.parametrize(
    "setting", ["drift.min_rows=[", "drift.min_rows=*a", "drift.sustained.k=3"]
)
def test_a_setting_that_cannot_be_read_names_its_variable(setting: str) -> None:
    key = setting.partition("=")[0].upper().replace(".", "__")
    with pytest.raises(ConfigurationError, match=f"^DRIFTLINE__MODELS__{MODEL.upper()}__{key}: "):
        changed_rules(Deployment.load(DEMO), MODEL, None, [setting])
