"""The trigger under random records: any order, duplicates, and a restart after every step."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from retrain.handlers import Transition, TriggerContext, TriggerState, handle, tick
from streaming.contracts.records import (
    AnyRecord,
    CommandReply,
    DriftOutcome,
    QualityCause,
    QualityOutcome,
    RetrainFailure,
    RetrainRequest,
    RolloutStatus,
)
from tests.retrain.builders import (
    CONTRACT,
    MODEL,
    RULES,
    WINDOW,
    FakeLabels,
    model_version,
    promotion,
    quality,
    retrain_command,
    verdict,
)

OUTCOMES: list[DriftOutcome] = ["stable", "suspected", "drifted", "inconclusive"]


class TriggerMachine(RuleBasedStateMachine):
    """The world around the trigger; `open` is the request that a worker holds."""

    def __init__(self) -> None:
        super().__init__()
        self.state = TriggerState(model=MODEL)
        self.labels = FakeLabels()
        self.now = 1_000.0
        self.window = 0
        self.commands = 0
        self.live = 0
        self.versions = 0
        self.open: RetrainRequest | None = None
        self.published: dict[str, int] = {}
        self.requests: list[RetrainRequest] = []
        self.replies: list[CommandReply] = []
        self.delivered: list[AnyRecord] = []

    # ------------------------------------------------------------ delivery

    def _restart(self) -> None:
        stored = msgspec.json.encode(self.state)
        self.state = msgspec.json.decode(stored, type=TriggerState)
        assert len(stored) < 100_000

    def _context(self) -> TriggerContext:
        return TriggerContext(rules=RULES, contract=CONTRACT, labels=self.labels, now=self.now)

    def _apply(self, step: Callable[[], Transition]) -> None:
        """Take a step; a crash before the state was stored repeats the very same step."""
        first = step()
        self._restart()
        again = step()
        assert again == first, "the same step gives the same records"
        self.state = again.state
        self._restart()
        for record in again.records:
            if isinstance(record, RetrainRequest):
                self._requested(record)
            elif isinstance(record, CommandReply):
                self.replies.append(record)

    def _requested(self, request: RetrainRequest) -> None:
        earlier = {r.record_id for r in self.requests}
        assert request.record_id not in earlier, "ids are unique"
        assert self.open is None or self.now > self.open.deadline, "one in flight"
        recent = [r for r in self.requests if self.now - r.at < RULES.budget_seconds]
        assert len(recent) < RULES.budget_runs, "the budget holds"
        assert request.events
        assert request.reason
        assert request.base_version == self.live
        self.requests.append(request)
        self.open = request

    def _deliver(self, record: AnyRecord) -> None:
        def step() -> Transition:
            return handle(self.state, record, self._context())

        self._apply(step)
        after = self.state
        duplicate = step()
        requests = [r for r in duplicate.records if isinstance(r, RetrainRequest)]
        assert not requests, "a duplicate requests nothing"
        if not isinstance(record, RolloutStatus):
            assert duplicate.state == after, "a duplicate changes nothing"
        self.delivered.append(record)

    # --------------------------------------------------------------- rules

    @rule(outcome=st.sampled_from(OUTCOMES), dead=st.sampled_from([0, 0, 0, 60]), old=st.booleans())
    def window_judged(self, outcome: DriftOutcome, dead: int, old: bool) -> None:
        reference = max(0, self.live - 1) if old else self.live
        self.window += 1
        self._deliver(verdict(self.window, outcome, reference=reference, dead=dead))

    @rule(
        outcome=st.sampled_from(["stable", "degraded", "inconclusive"]),
        cause=st.sampled_from(["concept", "inputs", "unknown"]),
        old=st.booleans(),
    )
    def quality_judged(self, outcome: QualityOutcome, cause: QualityCause, old: bool) -> None:
        version = max(0, self.live - 1) if old else self.live
        shown: QualityCause = cause if outcome == "degraded" else ""
        self.window += 1
        self._deliver(quality(self.window, outcome, cause=shown, version=version))

    @rule(with_windows=st.booleans())
    def person_requests(self, with_windows: bool) -> None:
        self.commands += 1
        latest = self.window * WINDOW
        window = (0.0, latest / 2) if with_windows else (None, None)
        before = len(self.replies)
        self._deliver(retrain_command(f"c{self.commands}", at=self.now, window=window))
        (reply,) = self.replies[before:]
        assert reply.command_id == f"c{self.commands}"
        assert reply.accepted == (
            self.open is not None
            and reply.result_id == self.open.record_id
            and self.open.caused_by[:1] == (reply.command_id,)
        )

    @rule(seconds=st.sampled_from([1.0, 30.0, 100.0, 400.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        if self.open is not None and self.now > self.open.deadline:
            self.open = None
        self._apply(lambda: tick(self.state, self._context()))
        assert self.open is not None or not self.state.running, "a lost worker is dropped"

    @rule(count=st.sampled_from([0, 50, 10_000]))
    def labels_arrive(self, count: int) -> None:
        self.labels.count = count

    @precondition(lambda self: self.open is not None)
    @rule(blessed=st.booleans())
    def worker_publishes(self, blessed: bool) -> None:
        assert self.open is not None
        request, self.open = self.open, None
        self.versions += 1
        self.published[request.record_id] = self.versions
        version = model_version(self.versions, request.record_id, blessed=blessed, at=self.now)
        self._deliver(version)

    @precondition(lambda self: self.open is not None)
    @rule()
    def worker_fails(self) -> None:
        assert self.open is not None
        request, self.open = self.open, None
        self._deliver(
            RetrainFailure(
                record_id=f"f{request.record_id}",
                model=MODEL,
                at=self.now,
                request_id=request.record_id,
                component="Trainer",
                reason="",
                advice="",
            )
        )

    @precondition(lambda self: self.open is not None)
    @rule(rows=st.sampled_from([50, 900_000]), needed=st.sampled_from([0, 60, 500, 10_000_000]))
    def evaluation_is_insufficient(self, rows: int, needed: int) -> None:
        assert self.open is not None
        request, self.open = self.open, None
        before = self.state.failures
        self._deliver(
            RetrainFailure(
                record_id=f"i{request.record_id}",
                model=MODEL,
                at=self.now,
                request_id=request.record_id,
                component="Blessing",
                reason="It is wide.",
                advice="",
                outcome="insufficient",
                rows=rows,
                rows_needed=needed,
            )
        )
        failed = needed > RULES.max_rows and rows == 900_000
        assert self.state.failures - before == failed

    @precondition(lambda self: self.state.rollout > 0)
    @rule(promoted=st.booleans())
    def rollout_ends(self, promoted: bool) -> None:
        version = self.state.rollout
        self.now += 1.0
        if promoted:
            self.live, replaced = version, self.live
            self._deliver(promotion(version, self.now, replaced=replaced))
        else:
            self._deliver(self._idle(version))

    @precondition(lambda self: self.live > 1)
    @rule()
    def rolled_back(self) -> None:
        self.now += 1.0
        self.live, replaced = self.live - 1, self.live
        self._deliver(promotion(self.live, self.now, replaced=replaced, change="rolled-back"))

    @precondition(lambda self: len(self.delivered) > 0)
    @rule(data=st.data())
    def an_old_record_is_replayed(self, data: st.DataObject) -> None:
        record = data.draw(st.sampled_from(self.delivered))
        before = len(self.requests)
        live, rollout = self.state.live, self.state.rollout
        self._deliver(record)
        assert self.state.rollout == rollout, "a replay neither starts nor ends a rollout"
        assert len(self.requests) == before, "a replay requests nothing"
        assert self.state.live == live, "a replay does not change the live version"

    def _idle(self, version: int) -> RolloutStatus:
        return RolloutStatus(
            record_id=f"s{version}-{self.now}",
            model=MODEL,
            at=self.now,
            rollout_id="o",
            version=version,
            champion=self.live,
            phase="idle",
            weight=0,
            step=0,
            reason="",
        )

    # ----------------------------------------------------------- invariants

    @invariant()
    def the_request_in_flight_is_known(self) -> None:
        if self.open is not None:
            assert self.state.running is not None
            assert self.state.running.request_id == self.open.record_id
        elif self.state.running is not None:
            assert self.now > self.state.running.deadline

    @invariant()
    def the_live_version_is_known(self) -> None:
        assert self.state.live == self.live

    @invariant()
    def the_state_is_bounded(self) -> None:
        assert len(self.state.windows) <= RULES.max_windows
        assert len(self.state.announced) <= 32

    @invariant()
    def every_reply_has_a_reason(self) -> None:
        assert all(reply.reason.endswith(".") for reply in self.replies)


TestTriggerMachine = TriggerMachine.TestCase
TestTriggerMachine.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
