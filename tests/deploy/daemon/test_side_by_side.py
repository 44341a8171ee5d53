"""Fifty models on a Prometheus that hangs: a command acts at once, and every model ticks."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import lru_cache

import msgspec
import pytest
from msgspec.structs import replace

from deploy.daemon.controller import ControllerState, ModelController
from deploy.daemon.dispatcher import RecordDispatcher
from deploy.metrics.exporter import MetricsExporter
from retrain.policy import RetrainRules
from retrain.state import TriggerState
from serving.engines.memory import InMemoryServing
from serving.engines.prometheus.client import PrometheusMetrics, shared_queries
from serving.phase import Phase
from serving.ports import Role
from serving.state import RolloutState
from streaming.contracts.codec import encode
from streaming.contracts.records import Action, Command, CommandReply
from tests.deploy.daemon.doubles import EventLog, FakeApp, FakeStore, FakeStream, NoLabels, contract
from tests.serving.engines.hung_http import HungServer, hung_server
from tests.serving.rollout_simulation import QUICK, RolloutSimulation

MODELS = 50


@lru_cache
def simulation_in(phase: Phase) -> RolloutSimulation:
    """Version 1 is live, and the rollout of version 2 has reached a phase."""
    simulation = RolloutSimulation(serving=InMemoryServing(rate=200.0)).start_canary()
    if phase is Phase.STEPPING:
        simulation.until(lambda current: current.canary == 25)
    return simulation.until_phase(phase).run(3)  # the weight is in force and is measured


@dataclass
class Fleet:
    """The daemon with many models in the same phase of a rollout."""

    phase: Phase
    server: HungServer
    stack: ExitStack
    app: FakeApp = field(default_factory=lambda: FakeApp(EventLog()))
    worlds: dict[str, InMemoryServing] = field(default_factory=dict)
    exporter: MetricsExporter = field(default_factory=MetricsExporter)

    def __post_init__(self) -> None:
        store = FakeStore(EventLog())
        queries = shared_queries(self.server.url)
        controllers: dict[str, ModelController] = {}
        for name in (f"model-{number}" for number in range(MODELS)):
            metrics = PrometheusMetrics(self.server.url, model=name, shared=queries)
            self.stack.callback(metrics.close)
            world = copy.deepcopy(simulation_in(self.phase).serving)
            self.worlds[name] = world
            controllers[name] = ModelController(
                contract=contract(name),
                retrain_rules=RetrainRules(initial=False),
                rollout_rules=QUICK,
                labels=NoLabels(),
                serving=dataclasses.replace(world.ports, metrics=metrics),
            )
            store.stored[name.encode()] = msgspec.json.encode(self.state(name))
        self.dispatcher = RecordDispatcher(self.app, store, controllers, self.exporter)

    def state(self, name: str) -> ControllerState:
        text = msgspec.json.encode(simulation_in(self.phase).state)
        text = text.replace(b'"model":"m"', f'"model":"{name}"'.encode())
        rollout = msgspec.json.decode(text, type=RolloutState)
        assert rollout.rollout is not None
        rollout = replace(rollout, ticked_at=time.time())
        return ControllerState(trigger=TriggerState(model=name), rollout=rollout)

    def command(self, name: str, action: Action) -> bytes:
        return encode(
            Command(
                record_id=f"{action}-{name}",
                model=name,
                at=time.time(),
                action=action,
                reason="because",
                who="ann",
            )
        )

    def answered(self, name: str) -> bool:
        return any(
            isinstance(record, CommandReply) and record.model == name and record.accepted
            for record in self.app.records
        )


@contextmanager
def fleet(phase: Phase) -> Iterator[Fleet]:
    simulation_in(phase)
    with hung_server() as server, ExitStack() as stack:
        yield Fleet(phase, server, stack)


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> float:
    """Wait for the condition; how long that took."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds
        await asyncio.sleep(0.005)
    return time.monotonic() - started


def is_back(world: InMemoryServing) -> bool:
    """Whether all traffic is on servers with the old version."""
    split = world.router.split
    shares: dict[Role, int] = {
        "stable": split.stable,
        "control": split.control,
        "canary": split.canary,
    }
    return sum(shares[role] for role in shares if world.servers.loaded.get(role) == 1) == 100


@pytest.mark.parametrize("behaviour", ["hangs", "dribbles-body", "dribbles-headers"])
@pytest.mark.parametrize("phase", [Phase.STEPPING, Phase.BAKING])
@pytest.mark.parametrize("chosen", [1, MODELS])
def test_a_rollback_moves_all_traffic_within_a_second_while_prometheus_hangs(
    phase: Phase, chosen: int, behaviour: str
) -> None:
    """The best of three: other processes of a busy machine take their time, too."""
    seconds = [roll_back_all(phase, chosen, behaviour)]
    while seconds[-1] >= 1.0 and len(seconds) < 3:
        seconds.append(roll_back_all(phase, chosen, behaviour))
    assert min(seconds) < 1.0, seconds


def roll_back_all(phase: Phase, chosen: int, behaviour: str) -> float:
    """Roll back some models while Prometheus hangs; returns the seconds until traffic moved."""
    with fleet(phase) as running:
        running.server.behaviour = behaviour  # type: ignore[assignment]
        names = list(running.worlds)[:chosen]

        async def run() -> float:
            await running.dispatcher.begin_tick()
            await until(lambda: running.server.requests > 0)  # the ticks hang in their observation
            stream = FakeStream(*(running.command(name, "rollback") for name in names))
            consuming = asyncio.create_task(running.dispatcher.consume(stream))
            seconds = await until(lambda: all(is_back(running.worlds[name]) for name in names))
            await consuming
            await running.dispatcher.tick()
            return seconds

        seconds = asyncio.run(run())
        assert all(running.answered(name) for name in names)
        for name in names:  # the tick that hung meanwhile does not give the traffic back
            assert is_back(running.worlds[name])
        return seconds


def test_every_model_ticks_side_by_side_while_prometheus_hangs() -> None:
    with fleet(Phase.STEPPING) as running:
        running.server.behaviour = "hangs"
        started = time.monotonic()
        asyncio.run(running.dispatcher.tick())
        seconds = time.monotonic() - started
        value = running.exporter.registry.get_sample_value
        ticked = [
            value("driftline_model_tick_time_seconds", {"model": name, "part": "rollout"})
            for name in running.worlds
        ]
        assert None not in ticked
        assert seconds < 5.0  # one after the other they took 50 s
        assert running.server.requests == 1
