"""The command: help with examples, clear errors, documented exit codes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from deploy.cli.main import app
from deploy.views import output
from streaming.contracts.errors import (
    ConfigurationError,
    Conflict,
    GateFailedError,
    NotFoundError,
    PermanentError,
    UnavailableError,
)

RUN = CliRunner()


def commands() -> list[list[str]]:
    root = typer.main.get_command(app)
    found = []
    for name, command in root.commands.items():  # type: ignore[attr-defined]
        inner = getattr(command, "commands", None)
        found += [[name, sub] for sub in inner] if inner else [[name]]
    return found


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_has_help_with_an_example(words: list[str]) -> None:
    shown = RUN.invoke(app, [*words, "--help"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    assert re.search(rf"Example: .*driftline.* {words[-1]}", shown.output), shown.output


def test_the_commands_of_the_product_are_there() -> None:
    names = {words[0] for words in commands()}
    assert names >= {
        "doctor",
        "up",
        "down",
        "status",
        "demo",
        "job",
        "daemon",
        "worker",
        "retrain",
        "rollout",
        "trace",
        "drift",
        "backtest",
        "quality",
        "schema",
        "labels",
        "predict",
        "config",
        "models",
        "versions",
        "dead-letters",
    }


def test_help_names_the_exit_codes() -> None:
    shown = RUN.invoke(app, ["--help"], env={"COLUMNS": "200"})
    for meaning in output.EXITS.values():
        assert meaning in " ".join(shown.output.split())


def test_wrong_usage_is_exit_2() -> None:
    assert RUN.invoke(app, ["retrain"]).exit_code == 2


def test_a_bad_configuration_is_exit_2_and_says_where(tmp_path: Path) -> None:
    file = tmp_path / "driftline.yaml"
    file.write_text("models:\n  x: {modul: y}\n")
    shown = RUN.invoke(app, ["-c", str(file), "config", "check"])
    assert shown.exit_code == 2
    assert "driftline.yaml:2" in shown.stderr
    assert "Did you mean module?" in shown.stderr


def test_config_check_prints_the_values_as_json() -> None:
    shown = RUN.invoke(app, ["config", "check", "--json"])
    assert json.loads(shown.stdout)["models"]["big_tipper"]["rollout"]["steps"][-1] == 100


def test_config_explain_tells_every_key() -> None:
    shown = RUN.invoke(app, ["config", "explain", "--json"])
    rows = {row["key"]: row for row in json.loads(shown.stdout)}
    assert rows["models.big_tipper.retrain.cooldown"]["meaning"]
    assert rows["models.big_tipper.drift.false_alarms"]["value"] == "1 per 30d"


def test_config_schema_is_json_schema() -> None:
    assert json.loads(RUN.invoke(app, ["config", "schema"]).stdout)["type"] == "object"


def test_an_unknown_model_is_exit_3() -> None:
    shown = RUN.invoke(app, ["drift", "nobody"])
    assert shown.exit_code == 3
    assert "big_tipper" in shown.stderr


def test_quality_without_predictions_says_what_to_name() -> None:
    shown = RUN.invoke(app, ["quality", "big_tipper"])
    assert shown.exit_code == 2
    assert "predictions" in shown.stderr


def test_predict_refuses_two_sources() -> None:
    assert RUN.invoke(app, ["predict", "big_tipper"]).exit_code == 2


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
def test_each_kind_of_end_has_its_code(error: BaseException, code: int) -> None:
    assert output.exit_code(error) == code
    assert code in output.EXITS
