"""A whole rollout over two servers: a broken version is rolled back before any client's request."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

from deploy.daemon.background_answers import BackgroundAnswers
from serving.engines.shadow.questioner import RestAnswers
from serving.phase import Phase
from tests.serving.engines.shadow.predict_server import Answer, serving
from tests.serving.engines.shadow.test_rest_answers import RULES as QUICK_RULES
from tests.serving.engines.shadow.test_rest_answers import probability, requests
from tests.serving.rollout_simulation import RolloutSimulation, quick_rules, version
from tests.waiting import wait_for

RULES = replace(QUICK_RULES, timeout_seconds=60.0, deadline_seconds=120.0)
"""No server hangs here, so a request that takes long shows a busy machine only."""


def rolled_out(canary: Answer) -> RolloutSimulation:
    """Version 1 live, version 2 compared on two servers, and one more phase."""
    with serving(probability, version=1) as first, serving(canary, version=2) as second:
        engine = RestAnswers(
            champion_url=first.url,
            canary_url=second.url,
            rules=RULES,
            requests=lambda given_up: requests(),
        )
        answers = BackgroundAnswers(run=engine.compare)
        simulation = RolloutSimulation(rules=quick_rules(shadow=RULES))
        cast(Any, simulation.serving).answers = answers
        simulation.send(version(1)).until_live(1)
        simulation.send(version(2)).until_phase(Phase.COMPARING)
        wait_for(lambda: answers.compared(version(2), 1) is not None, seconds=120.0)
        assert sum(second.batches) == RULES.rows  # the comparison's requests
        return simulation.until(lambda current: current.phase is not Phase.COMPARING, seconds=3)


@pytest.mark.parametrize(
    "canary",
    [
        lambda row: [1.0 - probability(row)[0]],
        lambda row: [0.5],
        lambda row: [float("nan")],
        lambda row: probability(row)[0],
        lambda row: [100.0 * probability(row)[0]],
    ],
    ids=["flipped head", "constant", "not finite", "other shape", "percent"],
)
def test_a_broken_version_never_reaches_a_client(canary: Answer) -> None:
    simulation = rolled_out(canary).until_phase(Phase.IDLE)
    assert simulation.live == 1
    assert 2 in simulation.state.rejected_versions
    assert [split.canary for split in simulation.serving.router.history if split.canary] == []


def test_a_correct_version_gets_its_first_weight() -> None:
    assert rolled_out(probability).phase is Phase.STEPPING
