"""Random trials of a rollout over commands, faults, deletions, clocks and crashes.

A trial gives the controller random events, then heals what can be healed (a deleted version stays
deleted, and nobody gives another command) and waits until everything is at rest. After every step
the invariants hold:

- shares are those of one split that sums to 100, and the status says the candidate's share;
- a version that failed never gains traffic, as long as the champion can be served;
- no server gains requests that Envoy does not hold healthy, unless the candidate loses some;
- nothing goes live without its evidence: a pass at the last weight, or a person who said so;
- nothing that needs an approval goes live without as many different people as it takes, each of
  whom may decide and said yes to the open request, and a request is used once;
- a sick control is replaced a limited number of times, and without clients;
- an id stands for one text;
- in the end every verdict, step, comparison and promotion is computed again from the records alone,
  byte for byte.

``python -m tests.serving.random_trial --trials 10000`` is the nightly length.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import msgspec
from msgspec.structs import replace as replace_fields

from serving import handlers
from serving.approval_rules import ApprovalRules
from serving.desired import serves
from serving.engines.memory import InMemoryServing
from serving.phase import Phase
from serving.ports import ALL_STABLE, Observation, ServingPorts
from serving.rules import Approval, RolloutRules
from serving.state import RolloutState, Transition
from streaming.contracts.codec import encode
from streaming.contracts.errors import UnavailableError
from streaming.contracts.records import (
    Action,
    ApprovalOutcome,
    Approver,
    CanaryVerdict,
    Command,
    CommandReply,
    ModelVersion,
    Promotion,
    Record,
    RolloutStatus,
)
from tests.serving.recomputing import computed_again
from tests.serving.rollout_simulation import START, quick_rules, version
from tests.serving.trial_checks import check_approval, check_gains
from tests.serving.trial_events import EVENTS

TRIAL_RULES = quick_rules(
    steps=(5, 25, 50),
    hold_seconds=3.0,
    bake_seconds=6.0,
    bake_deadline_seconds=60.0,
    deadline_seconds=60.0,
    prepare_seconds=12.0,
    reference_seconds=15.0,
    approval_seconds=90.0,
    pause_seconds=60.0,
    warm_seconds=0.0,
    errors_pp=5.0,
    slow_share=0.1,
)
NAMES = ("ann", "ben", "eve")
APPROVAL_RULES = (
    ApprovalRules(),
    ApprovalRules(people=2),
    ApprovalRules(
        approvers=tuple(Approver(name=name, role="engineer") for name in NAMES[:2]), people=2
    ),
    ApprovalRules(people=2, by_proposer=False),
)
REST_SECONDS = 1800.0
"""By then a trial is at rest: several rollouts, each with all its limits."""


@dataclass
class Log:
    """The promotions as the daemon reads them before a first version goes live."""

    records: list[Record] = field(default_factory=list)
    down: bool = False

    def newest(self) -> Promotion | None:
        if self.down:
            raise UnavailableError("The log is down.")
        promotions = [record for record in self.records if isinstance(record, Promotion)]
        return promotions[-1] if promotions else None


@dataclass
class Trial:
    """One trial; `seed` alone decides what happens in it."""

    seed: int
    steps: int = 14
    log: Log = field(default_factory=Log)
    state: RolloutState = field(default_factory=lambda: RolloutState(model="m"))
    now: float = START
    newest: int = 0
    commands: int = 0
    versions: list[ModelVersion] = field(default_factory=list)
    republished: list[ModelVersion] = field(default_factory=list)
    """Versions whose numbers were taken already; they are on the log, too."""
    events: list[str] = field(default_factory=list)
    texts: dict[str, bytes] = field(default_factory=dict)
    unread: list[Record] = field(default_factory=list)
    failed: dict[int, int] = field(default_factory=dict)
    """Versions that failed, and the most traffic that each may still have."""
    accepted: list[Command] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        approvals: list[Approval] = ["never", "never", "before-canary", "before-promotion"]
        approval = self.chance.choice(approvals)
        self.rules: RolloutRules = replace(
            TRIAL_RULES, approval=approval, approvals=self.chance.choice(APPROVAL_RULES)
        )
        self.serving = InMemoryServing(rate=60.0, seed=self.seed)
        self.serving.started = START

    @property
    def ports(self) -> ServingPorts:
        return replace(self.serving.ports, promotions=self.log)

    def run(self) -> None:
        """The whole trial; raises AssertionError with the events that led to it."""
        try:
            self.publish_version()
            self.pass_time(self.chance.randint(0, 8))
            for _ in range(self.steps):
                self.do(self.chance.choice(EVENTS))
                self.pass_time(self.chance.choice([1, 2, 4, 8, 16]))
            self.heal()
            self.come_to_rest()
            self.go_live_again()
            self.compute_again()
        except AssertionError as error:
            raise AssertionError(f"trial {self.seed}: {error}; events {self.events}") from error

    def do(self, event: Callable[[Trial], None]) -> None:
        self.events.append(f"{self.now - START:.0f} {event.__name__}")
        event(self)

    # ------------------------------------------------------------------ time

    def pass_time(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.tick(self.chance.choice([1.0, 1.0, 2.0]))

    def tick(self, seconds: float = 1.0, *, crash: str = "") -> None:
        """Traffic, then one tick; a crash loses the new state, and the records if not sent."""
        self.now += seconds
        self.serving.advance_traffic(self.now - 0.3, seconds)
        before, routed = self.state, self.serving.router.split
        observed = handlers.observe(self.ports, self.state, now=self.now)
        step = handlers.tick(self.state, observed, rules=self.rules, now=self.now)
        handlers.perform(step.actions, self.ports)
        if crash != "before sending":
            self.take(step)
        if crash:
            self.state = before
        self.check_traffic(observed)
        check_gains(self.state, observed, before=routed, after=self.serving.router.split)
        if self.unread and self.chance.random() < 0.6:
            self.deliver(self.unread.pop(0))

    def take(self, step: Transition) -> None:
        self.state = msgspec.json.decode(msgspec.json.encode(step.state), type=RolloutState)
        for record in step.records:
            text = encode(record)
            assert self.texts.setdefault(record.record_id, text) == text, "two texts of one id"
            if isinstance(record, Promotion | CanaryVerdict):
                self.unread.append(record)
            if isinstance(record, Promotion):
                self.check_promotion(record)
            if isinstance(record, ApprovalOutcome) and record.outcome == "approved":
                check_approval(record, self.log.records, self.rules)
            if isinstance(record, RolloutStatus):
                assert 0 <= record.weight <= 100
                assert (record.ends_at is None) == (record.phase == Phase.IDLE)
            if isinstance(record, CanaryVerdict) and record.outcome == "fail":
                self.failed[record.version] = self.share(record.version)
            self.log.records.append(record)

    def deliver(self, record: Record) -> None:
        self.take(handlers.handle(self.state, record, rules=self.rules, now=self.now))  # type: ignore[arg-type]

    # ------------------------------------------------------------ invariants

    def share(self, number: int) -> int:
        """The share of the clients' requests that a version answers, in percent."""
        split, loaded = self.serving.router.split, self.serving.servers.loaded
        return sum(
            int(getattr(split, role))
            for role in ("stable", "control", "canary")
            if loaded.get(role) == number
        )

    def check_traffic(self, observed: Observation) -> None:
        split, rollout = self.serving.router.split, self.state.rollout
        assert split.stable + split.control + split.canary == 100
        if self.serving.router.down or rollout is None:
            return
        champion_served = any(
            serves(observed, role, rollout.champion) for role in ("stable", "control")
        )
        number = rollout.candidate.version
        if number in self.failed and champion_served and rollout.phase is Phase.ROLLING_BACK:
            assert self.share(number) <= self.failed[number], f"version {number} gained traffic"
            self.failed[number] = self.share(number)
        if rollout.phase is Phase.REPLACING:
            assert rollout.replacements <= self.rules.control_replacements
            if observed.split == ALL_STABLE and not rollout.control_ended:
                assert split == ALL_STABLE, "clients at a sick control"
        guarded = rollout.champion and not (rollout.forced or rollout.uncompared)
        if rollout.phase is Phase.PROMOTING and guarded and split.canary:
            arms = (
                serves(observed, "canary", number),
                serves(observed, "control", rollout.champion),
            )
            assert split.canary == split.control or not all(arms), f"{split} is not compared"

    def check_promotion(self, record: Promotion) -> None:
        """What goes live has passed at the last weight, or a person said so, or none was live."""
        if record.change in ("rolled-back", "referenced"):
            return
        earlier = [entry for entry in self.log.records if isinstance(entry, Promotion)]
        if record.change == "initial":
            others = [entry for entry in earlier if entry.record_id != record.record_id]
            assert not others, f"version {record.version} is not the first one"
            return
        commands = [entry for entry in self.accepted if entry.record_id in record.caused_by]
        people = any(entry.action == "promote" for entry in commands) or any(
            isinstance(entry, ApprovalOutcome)
            and entry.outcome == "approved"
            and entry.record_id in record.caused_by
            for entry in self.log.records
        )
        passed = any(
            isinstance(entry, CanaryVerdict)
            and entry.version == record.version
            and entry.outcome == "pass"
            and entry.weight == self.rules.weights[-1]
            and entry.requests > 0
            for entry in self.log.records
        )
        uncompared = "nothing to compare" in record.reason or any(
            isinstance(entry, CanaryVerdict)
            and entry.version == record.version
            and "nothing to compare" in entry.reason
            for entry in self.log.records
        )
        forced = any(entry.force for entry in commands)
        by_command = any(entry.action == "promote" for entry in commands)
        assert passed or forced or uncompared or by_command, (
            f"version {record.version} has not passed"
        )
        assert self.rules.approval == "never" or people, f"{record.version} was not approved"

    # ------------------------------------------------------------------- end

    def heal(self) -> None:
        """Engines work again; what was deleted stays deleted, and versions do no more harm."""
        serving = self.serving
        serving.errors, serving.slow, serving.rate = {}, {}, 60.0
        serving.servers.sick.clear()
        serving.metrics.down = serving.router.down = serving.references.down = False
        self.log.down = False
        serving.router.unhealthy.clear()
        serving.servers.load_seconds = 0.2
        for role in list(serving.servers.down):
            serving.servers.revive(role)

    def come_to_rest(self) -> None:
        """Ends idle, with nothing queued, and what the log says is served if it can be."""
        end = self.now + REST_SECONDS
        calm = 0
        while calm < 4:
            assert self.now < end, f"not at rest: {self.state.rollout}"
            busy = self.unread or self.state.queued_version or self.state.pending
            calm = 0 if busy or self.state.phase is not Phase.IDLE else calm + 1
            self.tick(3.0)
        live, newest = self.state.live, self.log.newest()
        if newest is None:
            assert live is None
            return
        assert live is not None
        assert live.version == newest.version, f"log {newest.version}, servers {live.version}"
        if live.version in self.serving.servers.loaded.values():
            assert self.share(live.version) == 100, "the live version does not get the traffic"
        else:
            assert live.version not in self.serving.servers.store

    def go_live_again(self) -> None:
        """Whatever happened and was deleted: the next good version goes live."""
        self.publish_version()
        end = self.now + REST_SECONDS
        while self.state.live is None or self.state.live.version != self.newest:
            assert self.now < end, f"version {self.newest} is stuck: {self.state.rollout}"
            self.tick(3.0)
            self.approve()
        self.come_to_rest()
        assert self.state.live is not None
        assert self.share(self.state.live.version) == 100

    def approve(self) -> None:
        """Everybody says yes where people are asked."""
        rollout = self.state.rollout
        if rollout is not None and rollout.phase is Phase.AWAITING_APPROVAL:
            for who in (NAMES[0], *NAMES):  # the first one twice: that counts once
                self.command("approve", rollout.candidate.version, who=who)

    def compute_again(self) -> None:
        for result in computed_again([*self.versions, *self.republished, *self.log.records]):
            assert result.outcome == "equal", f"{result.kind} {result.record_id}: {result.reason}"

    def publish_version(self) -> None:
        self.newest += 1
        self.serving.servers.store.add(self.newest)
        proposer = "ann" if self.newest % 3 == 0 else ""
        self.versions.append(replace_fields(version(self.newest), proposed_by=proposer))
        self.deliver(self.versions[-1])

    def command(
        self,
        action: Action,
        number: int,
        *,
        age: float = 0.0,
        force: bool = False,
        who: str = "ann",
    ) -> None:
        self.commands += 1
        command = Command(
            record_id=f"command-{self.commands}",
            model="m",
            at=self.now - age,
            action=action,
            reason="because",
            who=who,
            version=number,
            digest=f"digest-{number}" if number else "",
            force=force,
        )
        opened = self.state.approval
        if action in ("approve", "reject") and opened is not None:
            request = opened.request
            command = replace_fields(command, subject=request.record_id, digest=request.digest)
        before = len(self.log.records)
        self.accepted.append(command)
        self.deliver(command)
        replies = [e for e in self.log.records[before:] if isinstance(e, CommandReply)]
        if not replies or not replies[-1].accepted:
            self.accepted.remove(command)
        elif action == "retry":
            self.failed.pop(number, None)
        assert command.at > self.now - 3600 or not replies[-1].accepted, "an old command"


def main(arguments: list[str] | None = None) -> int:
    """Run trials and print those that break an invariant."""
    parser = argparse.ArgumentParser(description="Random trials of a rollout.")
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0, help="Seed of the first trial.")
    parser.add_argument("--steps", type=int, default=14, help="Events of a trial.")
    chosen = parser.parse_args(arguments)
    broken = 0
    for seed in range(chosen.seed, chosen.seed + chosen.trials):
        try:
            Trial(seed=seed, steps=chosen.steps).run()
        except AssertionError as error:
            broken += 1
            sys.stdout.write(f"{error}\n")
    sys.stdout.write(f"{broken} of {chosen.trials} trials broke an invariant or never rested.\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
