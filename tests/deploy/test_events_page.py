"""Every example of docs/events.md is read as the page says."""

from __future__ import annotations

import io
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fastavro
import pytest

from deploy.app.deployment import Deployment
from deploy.config import yaml_text
from streaming.contracts.events import decode_event
from streaming.contracts.log import MemoryLog
from streaming.contracts.raw_record import KafkaRecord
from streaming.contracts.registered import RegisteredSchema
from streaming.contracts.topics import applications_topic
from tests.deploy.cli.runner import DEMO, run
from tests.schema_registry import Schemas, wire

PAGE = Path(__file__).resolve().parents[2] / "docs" / "events.md"
FENCE = re.compile(r"^```([\w-]+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
NOW = 1_767_225_600.0


@dataclass
class Example:
    """The blocks of one example."""

    blocks: dict[str, str] = field(default_factory=dict)


def examples() -> tuple[list[Example], list[str]]:
    """The examples, each of which begins with its settings, and the commands."""
    in_order: list[Example] = []
    commands: list[str] = []
    for language, text in FENCE.findall(PAGE.read_text()):
        if language == "sh":
            commands += text.splitlines()
        elif language == "yaml":
            in_order.append(Example({language: text}))
        else:
            in_order[-1].blocks[language] = text
    return in_order, commands


EXAMPLES, COMMANDS = examples()


def deployment(example: Example, folder: Path) -> Deployment:
    settings: Any = yaml_text.parse_file(DEMO.read_text())[1]
    events = yaml_text.parse_file(example.blocks["yaml"])[1]["events"]
    model = settings["models"]["big_tipper"]
    model["events"] = events
    model["labels"]["key"] = events["key"]
    settings["registry"] = {"url": "http://127.0.0.1:9"}
    file = folder / "driftline.yaml"
    file.write_text(json.dumps(settings))
    return Deployment.load(file)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.blocks["yaml"][:40])
def test_an_example_is_read_as_the_page_says(example: Example, tmp_path: Path) -> None:
    contract = deployment(example, tmp_path).contract("big_tipper")
    value, schemas = example.blocks["json"].encode(), Schemas()
    if "avsc" in example.blocks:
        text, target = example.blocks["avsc"], io.BytesIO()
        parsed = fastavro.parse_schema(json.loads(text))
        fastavro.schemaless_writer(target, parsed, json.loads(value))
        value = wire(1, target.getvalue())
        schemas.known[1] = RegisteredSchema(schema_id=1, schema_type="AVRO", text=text)
    headers = json.loads(example.blocks.get("headers", "{}"))
    record = KafkaRecord(
        value=value,
        headers=tuple((name, text.encode()) for name, text in headers.items()),
        time=NOW,
    )
    event = decode_event(record, contract, now=NOW + 3600, schemas=schemas)
    known = {name: value for name, value in event.values.items() if value is not None}
    assert {"key": event.key, "time": event.time} | known == json.loads(example.blocks["read-as"])
    assert event.unknown == {}


def test_there_are_examples_of_every_kind() -> None:
    assert len(EXAMPLES) >= 5
    assert all({"yaml", "json", "read-as"} <= example.blocks.keys() for example in EXAMPLES)
    run_here = {"yaml", "json", "read-as", "headers", "avsc"}
    assert all(example.blocks.keys() <= run_here for example in EXAMPLES)
    assert (
        sum(len(example.blocks) for example in EXAMPLES) == len(FENCE.findall(PAGE.read_text())) - 1
    )


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_runs(line: str) -> None:
    log = MemoryLog()
    log.ensure([applications_topic("taxi.trips", partitions=2)])
    assert run(*line.split()[1:], log=log).exit_code == 0
