"""`driftline rollout plan`: the plan of a rate, and what is said without one."""

from __future__ import annotations

import pytest

from tests.deploy.cli.builders import MODEL
from tests.deploy.cli.runner import data, run

COMMAND = f"rollout plan {MODEL}".split()


def test_the_plan_of_a_rate_is_one_text() -> None:
    result = run(*COMMAND, "--rate", "20")
    assert "At 20 requests/s this takes about" in result.output
    assert "smallest harm" in result.output
    assert "With its holds it takes up to about" in result.output


def test_the_data_have_the_steps_that_are_left_out() -> None:
    planned = data(run(*COMMAND, "--rate", "0.05", "--json"))
    assert planned["steps"][0]["left_out"]
    assert not planned["steps"][-1]["left_out"]
    usual = data(run(*COMMAND, "--rate", "20", "--json"))
    assert usual["seconds"] < usual["longest_seconds"]
    silent = data(run(*COMMAND, "--rate", "0", "--json"))
    assert silent["seconds"] is None
    assert silent["smallest_harm"] == 1.0


@pytest.mark.parametrize("rate", ["-1", "many"])
def test_a_rate_that_is_none_is_refused(rate: str) -> None:
    assert run(*COMMAND, "--rate", rate).exit_code == 2
