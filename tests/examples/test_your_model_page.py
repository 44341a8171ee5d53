"""The blocks of docs/your-model.md that need no engine; `test_examples` runs the others.

The commands that need the running stack are parsed by the command itself, their shifts are read for
the model, and what reads the log runs on one in memory. The end-to-end test plays such a circle.
"""

from __future__ import annotations

import json
import re
import shlex
from typing import Any

import msgspec
import pytest
import typer

from deploy.app.deployment import Deployment
from deploy.cli.main import app
from deploy.project.shift import parse_shifts
from retrain.models.code import load_code
from streaming.contracts.events import decode_event
from streaming.contracts.log import MemoryLog
from tests.deploy.cli.builders import promotion, version
from tests.deploy.cli.runner import run
from tests.source_files import PROJECT

PAGE = PROJECT / "docs" / "your-model.md"
FENCE = re.compile(r"^```([\w-]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
BLOCKS = FENCE.findall(PAGE.read_text())
CONFIG = PROJECT / "examples" / "churn" / "driftline.yaml"
ENDED = 1_772_370_000.0


def only(language: str) -> str:
    """The text of the only block of a language."""
    (text,) = (text for name, text in BLOCKS if name == language)
    return str(text)


def test_every_block_is_of_a_kind_that_a_test_runs() -> None:
    names = [name for name, _ in BLOCKS]
    assert sorted(set(names)) == ["bash", "console", "json", "replay", "text"]
    assert [names.count(name) for name in ("console", "json", "replay", "text")] == [1] * 4


def test_the_event_and_the_label_of_the_page_are_read() -> None:
    event, label = only("json").splitlines()
    contract = Deployment.load(CONFIG).contract("churn")
    read = decode_event(event.encode(), contract, now=ENDED)
    assert (read.key, read.time) == ("C00001", 1772362800.0)
    assert read.unknown == {}
    assert (read.values["contract"], read.values["monthly_fee"]) == ("monthly", 71.5)
    outcome = load_code(contract.module).outcome
    assert outcome is not None
    fields = json.loads(label)
    assert fields[contract.key] == read.key
    assert outcome(fields) is True


def parsed(words: list[str]) -> dict[str, Any]:
    """The arguments of a command, as its own parser reads them; raises when it refuses one."""
    command, context = typer.main.get_command(app), None
    while hasattr(command, "commands"):
        context = command.make_context("driftline", [], parent=context, resilient_parsing=True)
        command, words = command.commands[words[0]], words[1:]
    return dict(command.make_context("driftline", list(words), parent=context).params)


def test_the_commands_of_the_circle_are_understood() -> None:
    features = Deployment.load(CONFIG).contract("churn").features
    lines = [shlex.split(line)[1:] for line in only("console").splitlines()]
    replays = [parsed(words) for words in lines if words[0] == "replay"]
    assert [replay["model"] for replay in replays] == ["churn", "churn"]
    assert [list(parse_shifts(replay["shift"] or (), features)) for replay in replays] == [
        [],
        ["tenure"],
    ]
    assert {words[0] for words in lines} == {"up", "job", "replay", "versions", "trace"}
    assert parsed(["job", "submit", "churn"])["model"] == "churn"


@pytest.mark.parametrize("command", ["versions", "trace"])
def test_the_commands_that_read_the_log_run(command: str) -> None:
    log = MemoryLog()
    records = [version(1), promotion(1), version(2), promotion(2)]
    log.append([msgspec.structs.replace(one, model="churn") for one in records])
    (line,) = (line for line in only("console").splitlines() if line.split()[1] == command)
    shown = run(*shlex.split(line)[1:], log=log, config=CONFIG)
    assert shown.exit_code == 0, shown.stderr
    assert "2" in shown.stdout
