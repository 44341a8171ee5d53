"""Crashes, replays and double deliveries in any order: what must hold always holds."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from serving.engines.memory import MemoryWorld
from serving.rules import RolloutRules
from serving.state import RolloutState
from streaming.contracts.records import Action, CanaryVerdict, Promotion
from tests.serving.serving_builders import Story, version

RULES = RolloutRules(
    steps=(5, 25, 50),
    hold_seconds=4.0,
    bake_seconds=6.0,
    deadline_seconds=90.0,
    prepare_seconds=20.0,
    warm_seconds=0.0,
    errors_pp=5.0,
    slow_share=0.1,
)


class RolloutMachine(RuleBasedStateMachine):
    """A memory world in which everything may happen at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.story = Story(world=MemoryWorld(rate=300.0), rules=RULES)
        self.saved: RolloutState | None = None
        self.newest = 1
        self.failed: set[int] = set()
        self.seen = 0

    @initialize()
    def first_version(self) -> None:
        self.story.send(version(1)).run(4)

    @rule(seconds=st.integers(1, 15))
    def time_passes(self, seconds: int) -> None:
        for _ in range(seconds):
            self.story.tick()
            self.check_after_tick()

    @rule(seconds=st.integers(20, 60))
    def a_minute_passes(self, seconds: int) -> None:
        self.time_passes(seconds)

    @rule(share=st.sampled_from([0.1, 0.3]))
    def a_harmful_version_rolls_out(self, share: float) -> None:
        self.a_version_is_published(blessed=True)
        self.story.world.errors = {self.newest: share}
        self.time_passes(90)

    @rule()
    def all_is_well_for_a_while(self) -> None:
        self.story.world.errors = {}
        self.story.world.metrics.down = self.story.world.splitter.down = False
        self.servers_come_back()
        self.time_passes(60)

    @rule(blessed=st.booleans())
    def a_version_is_published(self, blessed: bool) -> None:
        self.newest += 1
        self.story.world.servers.store.add(self.newest)
        self.story.send(version(self.newest, blessed=blessed))

    @rule(data=st.data())
    def a_record_comes_twice(self, data: st.DataObject) -> None:
        number = data.draw(st.integers(1, self.newest))
        before = self.story.state.rollout
        known = self.story.state.seen
        self.story.send(version(number))
        if f"version-{number}" in known:
            assert self.story.state.rollout == before

    @rule(role=st.sampled_from(["stable", "control", "canary"]))
    def a_server_dies(self, role: str) -> None:
        self.story.world.servers.kill(role)  # type: ignore[arg-type]

    @rule()
    def servers_come_back(self) -> None:
        for role in list(self.story.world.servers.down):
            self.story.world.servers.revive(role)

    @rule(down=st.booleans())
    def prometheus(self, down: bool) -> None:
        self.story.world.metrics.down = down

    @rule(down=st.booleans())
    def admin_page(self, down: bool) -> None:
        self.story.world.splitter.down = down

    @rule()
    def envoy_restarts(self) -> None:
        self.story.world.restart_router(self.story.now)

    @rule(age=st.integers(0, 2), share=st.sampled_from([0.0, 0.3, 1.0]))
    def a_version_turns_bad(self, age: int, share: float) -> None:
        self.story.world.errors = {self.newest - age: share}

    @rule(action=st.sampled_from(["pause", "resume", "abort", "promote", "rollback"]))
    def a_person_asks(self, action: Action) -> None:
        self.story.ask(action)

    @rule()
    def state_is_saved(self) -> None:
        self.saved = self.story.state

    @rule()
    def the_daemon_crashes_and_replays(self) -> None:
        """It comes back with the state of one tick ago; what it wrote and did stays done."""
        before, written = self.story.state, len(self.story.records)
        self.story.tick()
        self.story.state = before
        for record in self.story.records[written:]:
            self.story.send(record)  # type: ignore[arg-type]
        self.check_after_tick()

    @invariant()
    def canary_and_control_are_equal(self) -> None:
        split = self.story.world.splitter.split
        if split.canary not in (0, 100) and split.control:
            assert split.canary == split.control
            assert split.canary in RULES.weights

    def check_after_tick(self) -> None:
        story = self.story
        fresh, self.seen = story.records[self.seen :], len(story.records)
        for record in fresh:
            if isinstance(record, CanaryVerdict) and record.outcome == "fail":
                self.failed.add(record.version)
        rollout = story.state.rollout
        if rollout is not None and rollout.candidate.version in self.failed:
            # After a fail nobody meets it again; a split is changed in the tick of the verdict.
            assert rollout.phase == "rolling-back"
            assert story.canary == 0 or story.world.splitter.down
        for record in fresh:
            if isinstance(record, Promotion) and record.change == "promoted":
                self.promoted_for_a_reason(record)

    def promoted_for_a_reason(self, record: Promotion) -> None:
        """By a pass at the last weight, or by a person; never by missing data."""
        asked = "promoted it without waiting" in record.reason
        passed = [
            verdict
            for verdict in self.story.verdicts
            if verdict.version == record.version
            and verdict.outcome == "pass"
            and verdict.weight == RULES.weights[-1]
        ]
        assert asked or passed
        if passed and not asked:
            assert passed[-1].requests > 0


TestRolloutMachine = RolloutMachine.TestCase
TestRolloutMachine.settings = settings(
    max_examples=25,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
