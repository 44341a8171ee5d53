"""The command: help with examples, fast start, clear errors, documented exit codes, completion."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from deploy.cli.main import app
from deploy.cli.shared.command import EXITS, exit_code
from deploy.demo.scenarios import SCENARIOS
from streaming.contracts.errors import (
    ConfigurationError,
    Conflict,
    GateFailedError,
    NotFoundError,
    PermanentError,
    UnavailableError,
)
from tests.deploy.cli.runner import DEMO, SHIPPED, data, run

HEAVY = ("scipy", "numpy", "tensorflow", "apache_beam", "altair", "confluent_kafka", "faust")


def commands() -> list[list[str]]:
    return list(_below(typer.main.get_command(app), []))


def _below(command: Any, words: list[str]) -> Iterator[list[str]]:
    inner = getattr(command, "commands", None)
    if not inner:
        yield words
    for name, sub in (inner or {}).items():
        yield from _below(sub, [*words, name])


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_has_help_with_an_example(words: list[str]) -> None:
    shown = run(*words, "--help", config=None)
    assert shown.exit_code == 0
    assert re.search(rf"Example: .*driftline.* {words[-1]}", shown.output), shown.output


def test_the_commands_of_the_product_exist() -> None:
    names = {words[0] for words in commands()}
    assert names == {
        "alerts",
        "access",
        "backtest",
        "config",
        "console",
        "daemon",
        "dead-letters",
        "demo",
        "doctor",
        "down",
        "drift",
        "events",
        "experiment",
        "init",
        "job",
        "labels",
        "logs",
        "model",
        "models",
        "notifier",
        "open",
        "pipeline",
        "predict",
        "prune",
        "quality",
        "queue",
        "replay",
        "report",
        "retrain",
        "rollout",
        "runs",
        "schema",
        "status",
        "trace",
        "up",
        "versions",
        "worker",
    }


def test_help_imports_no_engine() -> None:
    code = (
        "import sys\nfrom deploy.cli.main import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    completed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert completed.stderr.strip() == "[]"


def test_help_names_the_exit_codes() -> None:
    shown = run("--help", config=None, env={"COLUMNS": "200"})
    for meaning in EXITS.values():
        assert meaning in " ".join(shown.output.split())


def test_the_version_is_shown_and_its_help_says_so() -> None:
    assert run("--version", config=None).stdout.startswith("driftline ")
    assert "Show the version and exit." in run("--help", config=None).output


def test_wrong_usage_is_exit_2() -> None:
    assert run("retrain", config=None).exit_code == 2


def test_a_bad_configuration_is_exit_2_and_says_where(tmp_path: Path) -> None:
    file = tmp_path / "driftline.yaml"
    file.write_text("models:\n  x: {modul: y}\n")
    shown = run("config", "check", config=file)
    assert shown.exit_code == 2
    assert "driftline.yaml:2" in shown.stderr
    assert "Did you mean module?" in shown.stderr


@pytest.mark.parametrize("command", [("config", "check"), ("config", "explain"), ("models",)])
@pytest.mark.parametrize("content", ["models:\n", "models: [1]\n", "models: [", "- a\n"])
def test_a_file_without_models_is_exit_2_for_every_command(
    tmp_path: Path, command: tuple[str, ...], content: str
) -> None:
    file = tmp_path / "driftline.yaml"
    file.write_text(content)
    shown = run(*command, config=file)
    assert shown.exit_code == 2
    assert "driftline.yaml" in shown.stderr


def test_config_check_prints_the_values_as_json() -> None:
    values = data(run("config", "check", "--json", config=SHIPPED))
    assert values["models"]["big_tipper"]["rollout"]["steps"][-1] == 100


def test_config_explain_tells_every_key() -> None:
    rows = {row["key"]: row for row in data(run("config", "explain", "--json", config=SHIPPED))}
    assert rows["models.big_tipper.retrain.cooldown"]["meaning"]
    assert rows["models.big_tipper.drift.false_alarms"]["value"] == "1 per 30d"


def test_config_schema_is_json_schema() -> None:
    assert data(run("config", "schema", config=None))["type"] == "object"


@pytest.mark.parametrize(
    "words",
    [
        ("drift",),
        ("versions",),
        ("quality",),
        ("rollout", "status"),
        ("rollout", "promote"),
        ("schema", "check"),
        ("schema", "history"),
        ("job", "status"),
        ("predict",),
        ("retrain", "--reason", "x"),
        ("backtest",),
    ],
    ids=" ".join,
)
def test_an_unknown_model_is_exit_3_with_a_suggestion(words: tuple[str, ...]) -> None:
    command, options = words[:2] if words[0] in ("rollout", "schema", "job") else words[:1], []
    options = [word for word in words if word not in command]
    shown = run(*command, "big_tiper", *options)
    assert shown.exit_code == 3, shown.stderr
    assert "Did you mean big_tipper?" in shown.stderr


def test_quality_without_predictions_says_what_to_name() -> None:
    shown = run("quality", "big_tipper", config=SHIPPED)
    assert shown.exit_code == 2
    assert "predictions" in shown.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PermanentError("x"), 1),
        (ConfigurationError("x"), 2),
        (NotFoundError("x"), 3),
        (GateFailedError("x"), 4),
        (Conflict("x"), 5),
        (TimeoutError("x"), 7),
        (UnavailableError("x"), 8),
    ],
)
def test_each_kind_of_error_has_its_exit_code(error: BaseException, code: int) -> None:
    assert exit_code(error) == code
    assert code in EXITS


def test_a_failed_json_command_prints_its_error_as_json() -> None:
    shown = run("drift", "nobody", "--json")
    assert shown.exit_code == 3
    error = data(shown)["error"]
    assert error["type"] == "NotFoundError"
    assert error["exit_code"] == 3
    assert "has no model nobody" in error["message"]


@pytest.mark.parametrize(
    "words",
    [
        ("drift", "--json"),
        ("drift", "big_tipper", "--json", "--last", "many"),
        ("demo", "--json", "--scenario", "shft"),
        ("dead-letters", "replay", "--json"),
    ],
    ids=" ".join,
)
def test_wrong_usage_of_a_json_command_is_json_too(words: tuple[str, ...]) -> None:
    shown = run(*words)
    assert shown.exit_code == 2
    assert data(shown)["error"]["type"] == "UsageError"
    assert data(shown)["error"]["exit_code"] == 2


def test_an_unknown_scenario_is_wrong_usage_before_anything_starts(tmp_path: Path) -> None:
    shown = run("demo", "--scenario", "shft", env={"DRIFTLINE_HOME": str(tmp_path)})
    assert shown.exit_code == 2
    assert "Did you mean shift?" in " ".join(shown.stderr.split())
    assert list(tmp_path.iterdir()) == []


def test_a_configuration_error_is_json_too(tmp_path: Path) -> None:
    file = tmp_path / "driftline.yaml"
    file.write_text("models: [\n")
    shown = run("status", "--json", config=file)
    assert shown.exit_code == 2
    assert data(shown)["error"]["type"] == "ConfigurationError"


def complete(*words: str, **environment: str) -> list[str]:
    """What the shell is offered for the last word; no engine is imported for that."""
    line = " ".join(["driftline", *words])
    completed = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "from deploy.cli.main import main; main()"],
        env={
            **os.environ,
            **environment,
            "_DRIFTLINE_COMPLETE": "complete_bash",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(words)),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    imported = {line.rpartition("|")[2].strip() for line in completed.stderr.splitlines()}
    assert imported.isdisjoint(HEAVY)
    return completed.stdout.split()


def test_the_shell_completes_commands_models_processes_and_scenarios(tmp_path: Path) -> None:
    file = tmp_path / "two.yaml"
    file.write_text(
        DEMO.read_text().replace("  big_tipper:", "  small_tipper: {module: x}\n  big_tipper:", 1)
    )
    assert "dead-letters" in complete("dea")
    assert complete("-c", str(DEMO), "drift", "big") == ["big_tipper"]
    assert complete("-c", str(file), "rollout", "status", "s") == ["small_tipper"]
    assert set(complete("demo", "--scenario", "")) == set(SCENARIOS)
    log = tmp_path / "demo-stack" / "log" / "daemon.log"
    log.parent.mkdir(parents=True)
    log.touch()
    home = {"DRIFTLINE_HOME": str(tmp_path)}
    assert complete("-c", str(DEMO), "logs", "d", **home) == ["daemon"]
    assert complete("-c", "nowhere.yaml", "drift", "") == []
