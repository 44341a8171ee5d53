"""What every command shares."""

from __future__ import annotations

import json

import structlog
import typer
from typer.testing import CliRunner

from deploy.cli.shared.command import Invocation, Json, command
from deploy.views.output import show_json


def test_what_is_logged_is_no_part_of_the_data() -> None:
    app = typer.Typer()

    @app.command()
    @command
    def repair(invocation: Invocation, json: Json = False) -> None:
        """Repair a topic."""
        structlog.get_logger().info("topic.repaired", topic="a.trips")
        show_json({"repaired": 1})

    result = CliRunner().invoke(app, ["--json"], obj=Invocation())
    assert json.loads(result.stdout) == {"repaired": 1}
    assert "topic.repaired" in result.stderr
    structlog.reset_defaults()
