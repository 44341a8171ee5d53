"""Envoy's own view of the servers, and a first version that waits for it."""

from __future__ import annotations

import time

import pytest

from serving import handlers
from serving.engines.memory import InMemoryAnswers, InMemoryModelServers, InMemoryReferences
from serving.phase import Phase
from serving.ports import ALL_STABLE, ServingPorts
from serving.rules import RolloutRules
from serving.state import RolloutState
from tests.serving.engines.serving_stack import ServingStack
from tests.serving.rollout_simulation import version
from tests.waiting import wait_for

pytestmark = pytest.mark.engine


def test_a_first_version_is_live_only_when_envoy_can_reach_it(serving_stack: ServingStack) -> None:
    """The model server has it at once, and Envoy's next health check comes up to a second later."""
    serving_stack.route(ALL_STABLE)
    for role in ("stable", "control"):
        serving_stack.fault(role, state="LOADING")
    wait_for(lambda: serving_stack.router.healthy_servers() == ("canary",))
    ports = ServingPorts(
        router=serving_stack.router,
        servers=InMemoryModelServers(store={1}),
        metrics=serving_stack.metrics,
        references=InMemoryReferences(),
        answers=InMemoryAnswers(),
    )
    rules = RolloutRules(approval="never")
    state = handlers.handle(RolloutState(model="m"), version(1), rules=rules, now=time.time()).state

    def tick() -> int:
        nonlocal state
        now = time.time()
        observed = handlers.observe(ports, state, now=now)
        transition = handlers.tick(state, observed, rules=rules, now=now)
        handlers.perform(transition.actions, ports)
        state = transition.state
        return state.live.version if state.live is not None else 0

    for _ in range(10):
        assert tick() == 0
    assert state.phase is Phase.PROMOTING
    assert ports.servers.status("stable").versions  # it has the version; Envoy does not know it
    unanswered = serving_stack.traffic(0.5, rate=40)
    assert unanswered.failed > 0, "without the wait the first requests would be refused"
    serving_stack.fault("stable")
    wait_for(lambda: tick() == 1)
    for proto in ("rest", "grpc"):
        assert serving_stack.traffic(1.0, rate=60, proto=proto).failed == 0
    serving_stack.fault("control")
    serving_stack.wait_until_healthy()


def test_a_server_that_is_back_within_a_second_gets_every_request(
    serving_stack: ServingStack,
) -> None:
    """Envoy's workers know it as soon as its statistics say so, and no second later."""
    serving_stack.wait_until_healthy()
    serving_stack.route(ALL_STABLE)
    serving_stack.fault("control", state="LOADING")
    wait_for(lambda: "control" not in serving_stack.router.healthy_servers())
    for _ in range(3):
        serving_stack.fault("stable", state="LOADING")
        wait_for(lambda: "stable" not in serving_stack.router.healthy_servers())
        serving_stack.fault("stable")
        wait_for(lambda: "stable" in serving_stack.router.healthy_servers())
        assert serving_stack.traffic(0.5, rate=60).failed == 0
    serving_stack.fault("control")
    serving_stack.wait_until_healthy()


def test_a_killed_server_is_not_healthy_and_one_that_is_back_is(
    serving_stack: ServingStack,
) -> None:
    serving_stack.wait_until_healthy()
    assert serving_stack.router.healthy_servers() == ("stable", "control", "canary")
    serving_stack.kill("canary")
    wait_for(lambda: serving_stack.router.healthy_servers() == ("stable", "control"))
    serving_stack.start("canary")
    wait_for(lambda: "canary" in serving_stack.router.healthy_servers())
