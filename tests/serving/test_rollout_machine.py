"""Invariants of the rollout under crashes, replays and repeated deliveries in any order."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from serving.engines.memory import InMemoryServing
from serving.phase import Phase
from serving.ports import Role
from streaming.contracts.records import Action, CanaryVerdict, Promotion
from tests.serving.rollout_simulation import RolloutSimulation, quick_rules, version

RULES = quick_rules(
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
    """In-memory engines in which any event may happen at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.serving = InMemoryServing(rate=300.0)
        self.simulation = RolloutSimulation(serving=self.serving, rules=RULES)
        self.newest = 1
        self.failed: set[int] = set()
        self.checked_records = 0

    @initialize()
    def first_version(self) -> None:
        self.simulation.send(version(1)).run(4)

    @rule(seconds=st.integers(1, 15))
    def time_passes(self, seconds: int) -> None:
        for _ in range(seconds):
            self.simulation.tick()
            self.check_after_tick()

    @rule(seconds=st.integers(20, 60))
    def a_minute_passes(self, seconds: int) -> None:
        self.time_passes(seconds)

    @rule(share=st.sampled_from([0.1, 0.3]))
    def a_harmful_version_rolls_out(self, share: float) -> None:
        self.a_version_is_published(blessed=True)
        self.serving.errors = {self.newest: share}
        self.time_passes(90)

    @rule()
    def all_is_well_for_a_while(self) -> None:
        self.serving.errors = {}
        self.serving.metrics.down = self.serving.router.down = False
        self.serving.references.down = False
        self.servers_come_back()
        self.time_passes(60)

    @rule(blessed=st.booleans())
    def a_version_is_published(self, blessed: bool) -> None:
        self.newest += 1
        self.serving.servers.store.add(self.newest)
        self.simulation.send(version(self.newest, blessed=blessed))

    @rule(data=st.data())
    def a_record_is_delivered_again(self, data: st.DataObject) -> None:
        number = data.draw(st.integers(1, self.newest))
        before = self.simulation.state.rollout
        seen = self.simulation.state.seen
        self.simulation.send(version(number))
        if f"version-{number}" in seen:
            assert self.simulation.state.rollout == before

    @rule(role=st.sampled_from(["stable", "control", "canary"]))
    def a_server_dies(self, role: Role) -> None:
        self.serving.servers.kill(role)

    @rule()
    def servers_come_back(self) -> None:
        for role in list(self.serving.servers.down):
            self.serving.servers.revive(role)

    @rule(down=st.booleans())
    def prometheus_fails_or_returns(self, down: bool) -> None:
        self.serving.metrics.down = down

    @rule(down=st.booleans())
    def the_router_fails_or_returns(self, down: bool) -> None:
        self.serving.router.down = down

    @rule(down=st.booleans())
    def the_reference_publisher_fails_or_returns(self, down: bool) -> None:
        self.serving.references.down = down

    @rule()
    def envoy_restarts(self) -> None:
        self.serving.restart_router(self.simulation.now)

    @rule(age=st.integers(0, 2), share=st.sampled_from([0.0, 0.3, 1.0]))
    def a_version_turns_bad(self, age: int, share: float) -> None:
        self.serving.errors = {self.newest - age: share}

    @rule(action=st.sampled_from(["pause", "resume", "abort", "promote", "rollback"]))
    def a_person_gives_a_command(self, action: Action) -> None:
        self.simulation.send_command(action)

    @rule()
    def the_daemon_crashes_and_replays(self) -> None:
        """It restarts with the state of one tick ago; its records and actions remain."""
        before, written = self.simulation.state, len(self.simulation.records)
        self.simulation.tick()
        self.simulation.state = before
        for record in self.simulation.records[written:]:
            self.simulation.send(record)  # type: ignore[arg-type]
        self.check_after_tick()

    @invariant()
    def canary_and_control_are_equal(self) -> None:
        split = self.serving.router.split
        if split.canary not in (0, 100) and split.control:
            assert split.canary == split.control
            assert split.canary in RULES.weights

    def check_after_tick(self) -> None:
        simulation = self.simulation
        new_records = simulation.records[self.checked_records :]
        self.checked_records = len(simulation.records)
        for record in new_records:
            if isinstance(record, CanaryVerdict) and record.outcome == "fail":
                self.failed.add(record.version)
        rollout = simulation.state.rollout
        if rollout is not None and rollout.candidate.version in self.failed:
            # A failed version gets no more requests; the split changes in the tick of the verdict.
            assert rollout.phase is Phase.ROLLING_BACK
            assert simulation.canary == 0 or self.serving.router.down
        for record in new_records:
            if isinstance(record, Promotion) and record.change == "promoted":
                self.check_promotion(record)

    def check_promotion(self, record: Promotion) -> None:
        """A promotion needs a pass at the last weight or a person, never missing data."""
        by_person = "promoted it without waiting" in record.reason
        passed = [
            verdict
            for verdict in self.simulation.verdicts
            if verdict.version == record.version
            and verdict.outcome == "pass"
            and verdict.weight == RULES.weights[-1]
        ]
        assert by_person or passed
        if passed and not by_person:
            assert passed[-1].requests > 0


TestRolloutMachine = RolloutMachine.TestCase
TestRolloutMachine.settings = settings(
    max_examples=25,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
