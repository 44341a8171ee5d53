"""Three models roll out at the same time on a manual clock, each as if it were alone.

The controllers, the ledger of memory and Envoy's files are real; servers, traffic and Prometheus
are in memory.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from msgspec.structs import replace

from deploy.daemon.controller import ModelController
from deploy.daemon.memory_ledger import MemoryLedger
from retrain.policy import RetrainRules
from serving.engines.envoy.config import EnvoyLayout, split_text
from serving.engines.envoy.router import write_bootstrap, write_split
from serving.engines.memory import InMemoryRouter, InMemoryServing
from serving.phase import Phase
from serving.ports import ALL_STABLE, TrafficSplit
from streaming.contracts.clock import ManualClock
from streaming.contracts.records import CanaryVerdict, Promotion, Record, RolloutStatus
from tests.deploy.daemon.doubles import NoLabels, contract
from tests.serving.rollout_simulation import START, quick_rules, version

MODELS = ("fares", "support", "churn")
GOOD, FAILING, DYING = MODELS


@dataclass
class FileRouter(InMemoryRouter):
    """A router in memory that also writes Envoy's files, as the real one does."""

    folder: Path = Path()
    layout: EnvoyLayout = field(default_factory=lambda: EnvoyLayout(model="m"))

    def apply(self, split: TrafficSplit) -> None:
        write_split(self.folder, self.layout, split)
        super().apply(split)


class Fleet:
    """A daemon's controllers of some models, stepped side by side."""

    def __init__(self, folder: Path, models: tuple[str, ...], memory: MemoryLedger | None) -> None:
        self.folder, self.clock = folder, ManualClock(START)
        self.records: list[Record] = []
        self.worlds: dict[str, InMemoryServing] = {}
        self.controllers: dict[str, ModelController] = {}
        layouts = {
            name: EnvoyLayout(model=name, default=number == 0) for number, name in enumerate(models)
        }
        write_bootstrap(folder, tuple(layouts.values()))
        for name, layout in layouts.items():
            world = InMemoryServing(
                rate=200.0,
                started=START,
                router=FileRouter(folder=folder, layout=layout),
                errors={2: 0.4} if name == FAILING else {},
                memory_budget=memory,
            )
            world.servers.store |= {1, 2}
            self.worlds[name] = world
            self.controllers[name] = ModelController(
                contract=contract(name),
                retrain_rules=RetrainRules(initial=False),
                rollout_rules=quick_rules(memory_limited=memory is not None),
                labels=NoLabels(),
                serving=world.ports,
            )

    def publish(self, number: int, *models: str) -> None:
        """A new version of each model, at the same moment."""
        for name in models or tuple(self.controllers):
            record = replace(version(number), model=name, record_id=f"{name}-{number}")
            self.records += self.controllers[name].on_record(record, now=self.clock.now())

    def second(self) -> None:
        self.clock.advance(1.0)
        for name, controller in self.controllers.items():
            self.worlds[name].advance_traffic(self.clock.now() - 0.3)
            self.records += controller.tick(now=self.clock.now())

    def until_idle(self, *, kill_canary_of: str = "", seconds: int = 900) -> dict[str, float]:
        """Step until no model has a rollout; returns when each ended."""
        ended: dict[str, float] = {}
        for _ in range(seconds):
            self.second()
            for name, controller in self.controllers.items():
                if controller.phase is Phase.IDLE:
                    ended.setdefault(name, self.clock.now() - START)
                if name == kill_canary_of and controller.canary_weight >= 25:
                    self.worlds[name].servers.kill("canary")
            if len(ended) == len(self.controllers):
                return ended
        raise AssertionError({name: entry.phase for name, entry in self.controllers.items()})

    @property
    def live(self) -> dict[str, int]:
        return {name: entry.live_version for name, entry in self.controllers.items()}

    def of(self, model: str) -> list[Record]:
        return [record for record in self.records if record.model == model]

    def splits_in_force(self) -> dict[str, str]:
        """The splits in Envoy's route file."""
        version_info = json.loads((self.folder / "rds.json").read_text())["version_info"]
        splits: dict[str, str] = json.loads(version_info)
        return splits


def rolled_out(folder: Path, *models: str) -> tuple[Fleet, dict[str, float]]:
    """Version 1 is live everywhere; then version 2 is rolled out everywhere at once."""
    folder.mkdir(exist_ok=True)
    fleet = Fleet(folder, models, None)
    fleet.publish(1)
    fleet.until_idle()
    assert set(fleet.live.values()) == {1}
    fleet.publish(2)
    return fleet, fleet.until_idle(kill_canary_of=DYING)


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> tuple[Fleet, dict[str, float]]:
    return rolled_out(tmp_path_factory.mktemp("envoy"), *MODELS)


def test_each_rollout_ends_as_its_own_version_deserves(
    together: tuple[Fleet, dict[str, float]],
) -> None:
    fleet, _ = together
    assert fleet.live == {GOOD: 2, FAILING: 1, DYING: 1}
    causes = {
        name: [entry.cause for entry in controller.state.rollout.rejections]
        for name, controller in fleet.controllers.items()
    }
    assert causes[GOOD] == []
    assert causes[FAILING] == ["fail"]
    assert len(causes[DYING]) == 1


@pytest.mark.parametrize("model", MODELS)
def test_a_rollout_beside_others_is_the_same_as_alone(
    together: tuple[Fleet, dict[str, float]], tmp_path: Path, model: str
) -> None:
    """The same verdicts at the same times; nothing of another model was counted."""
    fleet, ended = together
    alone, ended_alone = rolled_out(tmp_path / "envoy", model)
    assert ended[model] == ended_alone[model]
    kinds = (CanaryVerdict, Promotion, RolloutStatus)
    texts = [record for record in fleet.of(model) if isinstance(record, kinds)]
    assert texts == [record for record in alone.records if isinstance(record, kinds)]
    assert len(texts) > 10


def test_the_route_file_has_the_last_split_of_every_model(
    together: tuple[Fleet, dict[str, float]],
) -> None:
    fleet, _ = together
    assert fleet.splits_in_force() == dict.fromkeys(MODELS, split_text(ALL_STABLE))
    for world in fleet.worlds.values():
        assert any(split.canary for split in world.router.history)


def test_rollouts_wait_for_each_other_where_memory_is_short(tmp_path: Path) -> None:
    """There is room for one rollout beside two models at rest: they follow one another."""
    memory = MemoryLedger(round(1.2 * 100 * 8), MODELS, lambda model, version: 100)
    fleet = Fleet(tmp_path, MODELS, memory)
    fleet.publish(1)
    fleet.until_idle()
    fleet.publish(2)
    highest = 0
    for _ in range(900):
        fleet.second()
        rolling = [
            name
            for name, controller in fleet.controllers.items()
            if controller.phase is not Phase.IDLE and not controller.waits_for_memory
        ]
        loaded = [world.servers.loaded.get("canary") for world in fleet.worlds.values()]
        assert len(rolling) <= 1
        assert sum(entry is not None for entry in loaded) <= 2  # one of them is being unloaded
        highest = max(highest, len(rolling))
        if all(controller.phase is Phase.IDLE for controller in fleet.controllers.values()):
            break
    assert highest == 1
    assert fleet.live == {GOOD: 2, FAILING: 1, DYING: 2}
    waits = [record.reason for record in fleet.of(DYING) if isinstance(record, RolloutStatus)]
    assert any("It waits for 0.00048 MB of memory" in reason for reason in waits)
