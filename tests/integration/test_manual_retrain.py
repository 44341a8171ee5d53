"""Retrains requested by a person: a canary that fails, and two requests at once."""

from __future__ import annotations

from dataclasses import replace

from serving.engines.memory import InMemoryServing
from serving.ports import ALL_STABLE
from streaming.contracts.records import ModelVersion, Promotion, RetrainRequest
from tests.integration.control_loop import ControlLoop, request_retrain, to_version_one


def test_a_bad_canary_is_rolled_back_and_the_reference_stays(loop: ControlLoop) -> None:
    loop.serving = with_errors(loop, errors={2: 0.3})
    to_version_one(loop)
    request_retrain(loop, "first")
    for _ in range(60):
        loop.window()
        if len(loop.records(ModelVersion)) > 1 and loop.controller.state.rollout.rollout is None:
            break
    assert [promotion.version for promotion in loop.records(Promotion)] in ([1], [1, 1])
    assert loop.serving.router.split == ALL_STABLE
    assert loop.serving.servers.loaded["stable"] == 1
    assert 2 in loop.controller.state.rollout.rejected_versions


def test_two_manual_requests_at_once_run_once(loop: ControlLoop) -> None:
    to_version_one(loop)
    request_retrain(loop, "first")
    request_retrain(loop, "second")
    for _ in range(3):
        loop.window()
    assert [request.cause for request in loop.records(RetrainRequest)] == ["initial", "manual"]


def with_errors(loop: ControlLoop, *, errors: dict[int, float]) -> InMemoryServing:
    """The same serving engines, on which some versions answer with errors."""
    serving = replace(loop.serving, errors=errors)
    loop.controller.serving = serving.ports
    return serving
