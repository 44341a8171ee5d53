"""A whole rollout on in-memory engines, with one tick per simulated second."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

import msgspec

from serving import handlers
from serving.engines.memory import InMemoryServing
from serving.phase import Phase
from serving.ports import PublishReference
from serving.rules import RolloutRules
from serving.state import RolloutState, Transition
from streaming.contracts.records import (
    Action,
    AnyRecord,
    Artifact,
    CanaryVerdict,
    Command,
    CommandReply,
    ModelVersion,
    Promotion,
    Record,
    RolloutStatus,
)

START = 1_000_000.0


def quick_rules(**changes: object) -> RolloutRules:
    """Rules of a short rollout that nobody has to approve."""
    quick: dict[str, object] = {
        "steps": (5, 25, 50, 100),
        "hold_seconds": 10.0,
        "bake_seconds": 20.0,
        "approval": "never",
        "deadline_seconds": 1800.0,
    }
    return RolloutRules(**{**quick, **changes})  # type: ignore[arg-type]


QUICK = quick_rules()


def version(number: int, *, blessed: bool = True) -> ModelVersion:
    return ModelVersion(
        record_id=f"version-{number}",
        model="m",
        at=START,
        version=number,
        request_id=f"request-{number}",
        artifact=Artifact(uri=f"memory:{number}", digest=f"digest-{number}"),
        base_version=number - 1,
        blessed=blessed,
        reason="",
        evaluation=(),
        components=(),
        training_rows=1,
        window_start=float(number),
        window_end=float(number + 1),
        load_seconds=0.1,
        warm_predict_seconds=0.01,
    )


@dataclass
class RolloutSimulation:
    """The rollout controller on in-memory engines."""

    serving: InMemoryServing = field(default_factory=InMemoryServing)
    rules: RolloutRules = QUICK
    state: RolloutState = field(default_factory=lambda: RolloutState(model="m"))
    records: list[Record] = field(default_factory=list)
    publish_requests: int = 0
    """Number of `PublishReference` actions so far."""
    now: float = START
    commands: int = 0

    def __post_init__(self) -> None:
        self.serving.servers.store |= {1, 2, 3, 4}
        self.serving.started = START

    def send(self, record: AnyRecord) -> Self:
        """Hand a record to the controller."""
        self._apply(handlers.handle(self.state, record, rules=self.rules, now=self.now))
        return self

    def send_command(
        self,
        action: Action,
        number: int = 0,
        digest: str = "",
        *,
        force: bool = False,
        reason: str = "because",
        at: float | None = None,
        who: str = "ann",
        subject: str = "",
    ) -> CommandReply:
        """Give a command and return the reply; number 0 names no version."""
        self.commands += 1
        command = Command(
            record_id=f"command-{self.commands}",
            model="m",
            at=self.now if at is None else at,
            action=action,
            reason=reason,
            who=who,
            version=number,
            digest=digest,
            force=force,
            subject=subject,
        )
        self.send(command)
        reply = self.records[-1]
        assert isinstance(reply, CommandReply)
        return reply

    def let_on(self, action: Action, *, force: bool = False, who: str = "ann") -> CommandReply:
        """Give a command about what is rolled out: it names the open request, or the version."""
        rollout, opened = self.state.rollout, self.state.approval
        number = rollout.candidate.version if rollout is not None else 0
        if action in ("approve", "reject") and opened is not None:
            request = opened.request
            return self.send_command(
                action,
                number,
                request.digest,
                force=force,
                who=who,
                subject=request.record_id,
            )
        return self.send_command(action, number, f"digest-{number}", force=force, who=who)

    def approve_first(self, number: int) -> RolloutSimulation:
        """A first version goes live; people approve it where the rules ask for it."""
        if self.rules.approval != "never":
            self.until_phase(Phase.AWAITING_APPROVAL)
            names = [approver.name for approver in self.rules.approvals.approvers]
            for who in (names or ["ann", "ben", "eve"])[: self.rules.approvals.people]:
                assert self.let_on("approve", who=who).accepted
        return self.until_live(number)

    def tick(self) -> Self:
        """One second of traffic, then one tick of the controller."""
        self.now += 1.0
        self.serving.advance_traffic(self.now - 0.3)
        observed = handlers.observe(self.serving.ports, self.state, now=self.now)
        transition = handlers.tick(self.state, observed, rules=self.rules, now=self.now)
        self._apply(transition)
        # The state must survive encoding to JSON.
        self.state = msgspec.json.decode(msgspec.json.encode(transition.state), type=RolloutState)
        return self

    def run(self, seconds: int) -> Self:
        for _ in range(seconds):
            self.tick()
        return self

    def until(self, condition: Callable[[Self], bool], seconds: int = 900) -> Self:
        """Tick until the condition holds."""
        for _ in range(seconds):
            if condition(self):
                return self
            self.tick()
        raise AssertionError(f"never true; {self.phase}: {self.statuses[-1:]}")

    def until_phase(self, *phases: Phase, seconds: int = 900) -> Self:
        """Tick until the rollout is in one of the phases."""
        return self.until(lambda simulation: simulation.phase in phases, seconds)

    def until_live(self, number: int, seconds: int = 900) -> Self:
        """Tick until the version is live."""
        return self.until(lambda simulation: simulation.live == number, seconds)

    def start_canary(self) -> Self:
        """Version 1 live, version 2 at the first weight."""
        self.send(version(1)).approve_first(1)
        before_first_weight = (Phase.PREPARING, Phase.COMPARING)
        self.send(version(2)).until(lambda simulation: simulation.phase not in before_first_weight)
        return self

    @property
    def live(self) -> int:
        return self.state.live.version if self.state.live is not None else 0

    @property
    def phase(self) -> Phase:
        return self.state.phase

    @property
    def canary(self) -> int:
        return self.serving.router.split.canary

    @property
    def promotions(self) -> list[Promotion]:
        return [record for record in self.records if isinstance(record, Promotion)]

    @property
    def verdicts(self) -> list[CanaryVerdict]:
        return [record for record in self.records if isinstance(record, CanaryVerdict)]

    @property
    def statuses(self) -> list[RolloutStatus]:
        return [record for record in self.records if isinstance(record, RolloutStatus)]

    def _apply(self, transition: Transition) -> None:
        self.state = transition.state
        self.records += transition.records
        self.publish_requests += sum(
            isinstance(action, PublishReference) for action in transition.actions
        )
        handlers.perform(transition.actions, self.serving.ports)
