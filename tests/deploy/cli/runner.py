"""Runs the command in this process, on a log in memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import typer
from typer.testing import CliRunner, Result

from deploy.app.deployment import LogFactory
from deploy.cli.main import app
from deploy.config import yaml_text
from streaming.contracts.log import MemoryLog, RecordLog

PROJECT = Path(__file__).resolve().parents[3]
SHIPPED = PROJECT / "deploy" / "config" / "driftline.yaml"
DEMO = PROJECT / "deploy" / "config" / "demo.yaml"
UNUSED_PORTS = "19000"
"""Port offset under which no stack of this machine answers."""

_command = cache(typer.main.get_command)
_parse_file = cache(yaml_text.parse_file)


def _parsed_once(text: str) -> tuple[Any, Any]:
    """The tree of a file that some test has read before, and values of its own."""
    tree, plain = _parse_file(text)
    return tree, deepcopy(plain)


def run(
    *words: str,
    log: RecordLog | None = None,
    log_factory: LogFactory | None = None,
    config: Path | None = DEMO,
    env: Mapping[str, str] | None = None,
    stdin: str = "",
) -> Result:
    """Run ``driftline -c CONFIG WORDS``; its record log is `log`, an empty one by default.

    `log_factory` opens another log instead. The commands are put together, and the text of a
    configuration file is parsed, once per test process.
    """
    opened = MemoryLog() if log is None else log
    named = ["-c", str(config)] if config is not None else []
    with (
        patch("typer.testing._get_command", _command),
        patch("deploy.config.loader.parse_file", _parsed_once),
    ):
        result = CliRunner().invoke(
            app,
            [*named, *words],
            obj=log_factory or (lambda bootstrap: opened),
            env={"COLUMNS": "260", "DRIFTLINE__LOCAL__PORT_OFFSET": UNUSED_PORTS, **(env or {})},
            input=stdin,
        )
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def data(result: Result) -> Any:
    """The JSON that a command printed."""
    return json.loads(result.stdout)
