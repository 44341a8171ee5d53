"""The blocks of docs/your-model.md that need no engine; `test_examples` runs the others.

Of the commands that need the running stack, those that read or write Kafka run as the page has
them, on a log and a producer in memory; a replay is ended as a user ends it. Those that start or
ask the engines are parsed by the command itself, and say what is missing. The end-to-end test plays
such a circle on the real stack.
"""

from __future__ import annotations

import json
import re
import shlex
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
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
from streaming.contracts.raw_record import KafkaRecord
from tests.deploy.cli.builders import promotion, version
from tests.deploy.cli.runner import run
from tests.deploy.project.flushed_producer import FlushedProducer
from tests.examples.test_examples import generated
from tests.source_files import PROJECT

PAGE = PROJECT / "docs" / "your-model.md"
FENCE = re.compile(r"^```([\w-]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
BLOCKS = FENCE.findall(PAGE.read_text())
CONFIG = PROJECT / "examples" / "churn" / "driftline.yaml"
ENDED = 1_772_370_000.0
LABELS = "churn.labels"
ENOUGH = 20
"""Labels after which a replay is ended."""


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


@dataclass
class _Producer(FlushedProducer):
    """Keeps what a replay sends, and ends the replay with Ctrl-C once labels were sent, too."""

    sent: dict[str, list[KafkaRecord]] = field(default_factory=dict)

    def produce(self, topic: str, value: bytes, key: str, on_delivery: Any = None) -> None:
        messages = self.sent.setdefault(topic, [])
        messages.append(KafkaRecord(value=value, key=key.encode(), time=time.time()))
        on_delivery(None, None)
        if topic == LABELS and len(messages) == ENOUGH:
            signal.raise_signal(signal.SIGINT)


@pytest.fixture(name="customers", scope="module")
def _customers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generated("churn", tmp_path_factory.mktemp("data"))


@pytest.mark.parametrize("number", [0, 1])
def test_the_replays_of_the_page_play_the_file_and_end(
    number: int, customers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the page has them, but with labels at once."""
    line = [one for one in only("console").splitlines() if one.split()[1] == "replay"][number]
    producer = _Producer()
    monkeypatch.setattr("deploy.project.producer.make_producer", lambda bootstrap: producer)
    home = {
        "DRIFTLINE_HOME": str(tmp_path),
        "DRIFTLINE__MODELS__CHURN__LABELS__MATURE_AFTER": "0s",
    }
    (customers.parent / "churn").mkdir(exist_ok=True)
    monkeypatch.chdir(customers.parent / "churn")
    shown = run(*shlex.split(line)[1:], config=CONFIG, env=home)
    assert shown.exit_code == 0, shown.stderr
    first, *_, counts, stopped = shown.stderr.splitlines()
    assert first == only("replay").splitlines()[0]
    assert re.fullmatch(r"\d+ events, \d+ labels; no version is live yet", counts)
    assert stopped == "Stopped. The same command goes on from here."

    contract = Deployment.load(CONFIG).contract("churn")
    now = time.time() + 1.0
    events = [decode_event(one, contract, now=now) for one in producer.sent[contract.events_topic]]
    tenures = [int(str(one.values["tenure"])) for one in events]
    assert all((tenure <= 0) is bool(number) for tenure in tenures if tenure)
    keys = {one.key for one in events}
    labels = [json.loads(one.value or b"") for one in producer.sent[LABELS]]
    assert len(labels) >= ENOUGH
    assert {str(label[contract.key]) for label in labels} <= keys


def test_a_job_without_a_stack_says_what_to_start(tmp_path: Path) -> None:
    (line,) = (one for one in only("console").splitlines() if one.split()[1] == "job")
    shown = run(*shlex.split(line)[1:], config=CONFIG, env={"DRIFTLINE_HOME": str(tmp_path)})
    assert shown.exit_code not in (0, 1)
    assert "`driftline up`" in shown.stderr


@pytest.mark.parametrize("command", ["versions", "trace"])
def test_the_commands_that_read_the_log_run(command: str) -> None:
    log = MemoryLog()
    records = [version(1), promotion(1), version(2), promotion(2)]
    log.append([msgspec.structs.replace(one, model="churn") for one in records])
    (line,) = (line for line in only("console").splitlines() if line.split()[1] == command)
    shown = run(*shlex.split(line)[1:], log=log, config=CONFIG)
    assert shown.exit_code == 0, shown.stderr
    assert "2" in shown.stdout
