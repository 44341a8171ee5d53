"""Random lives of the trigger: any order, duplicates, and a restart after every step."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from retrain.handlers import Step, TriggerState, handle, tick
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


class TriggerLives(RuleBasedStateMachine):
    """The outside world as the trigger may meet it; `open` is what a worker has in hand."""

    def __init__(self) -> None:
        super().__init__()
        self.state = TriggerState(model=MODEL)
        self.labels = FakeLabels()
        self.now = 1_000.0
        self.window = 0
        self.made = 0
        self.live = 0
        self.versions = 0
        self.open: RetrainRequest | None = None
        self.published: dict[str, int] = {}
        self.requests: list[RetrainRequest] = []
        self.answers: list[CommandReply] = []
        self.delivered: list[AnyRecord] = []

    # ------------------------------------------------------------ delivery

    def _restart(self) -> None:
        stored = msgspec.json.encode(self.state)
        self.state = msgspec.json.decode(stored, type=TriggerState)
        assert len(stored) < 100_000

    def _do(self, step: Callable[[], Step]) -> None:
        """Make a step; a crash before the state was stored makes the very same step again."""
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
                self.answers.append(record)

    def _requested(self, request: RetrainRequest) -> None:
        known = {r.record_id for r in self.requests}
        assert request.record_id not in known, "ids are unique"
        assert self.open is None or self.now > self.open.deadline, "one in flight"
        recent = [r for r in self.requests if self.now - r.at < RULES.budget_seconds]
        assert len(recent) < RULES.budget_runs, "the budget holds"
        assert request.events
        assert request.reason
        assert request.base_version == self.live
        self.requests.append(request)
        self.open = request

    def _deliver(self, record: AnyRecord) -> None:
        def step() -> Step:
            return handle(
                self.state,
                record,
                rules=RULES,
                contract=CONTRACT,
                labels=self.labels,
                now=self.now,
            )

        self._do(step)
        settled = self.state
        duplicate = step()
        quiet = [r for r in duplicate.records if isinstance(r, RetrainRequest)]
        assert not quiet, "a duplicate asks for nothing"
        if not isinstance(record, RolloutStatus):
            assert duplicate.state == settled, "a duplicate changes nothing"
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
    def labels_tell(self, outcome: QualityOutcome, cause: QualityCause, old: bool) -> None:
        version = max(0, self.live - 1) if old else self.live
        why: QualityCause = cause if outcome == "degraded" else ""
        self.window += 1
        self._deliver(quality(self.window, outcome, cause=why, version=version))

    @rule(ends=st.booleans())
    def person_asks(self, ends: bool) -> None:
        self.made += 1
        latest = self.window * WINDOW
        window = (0.0, latest / 2) if ends else (None, None)
        before = len(self.answers)
        self._deliver(retrain_command(f"c{self.made}", at=self.now, window=window))
        (answer,) = self.answers[before:]
        assert answer.to == f"c{self.made}"
        assert answer.accepted == (
            self.open is not None
            and answer.result_id == self.open.record_id
            and self.open.caused_by[:1] == (answer.to,)
        )

    @rule(seconds=st.sampled_from([1.0, 30.0, 100.0, 400.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        if self.open is not None and self.now > self.open.deadline:
            self.open = None
        self._do(
            lambda: tick(
                self.state, rules=RULES, contract=CONTRACT, labels=self.labels, now=self.now
            )
        )
        assert self.open is not None or not self.state.running, "a lost worker is given up"

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
    def an_old_record_comes_again(self, data: st.DataObject) -> None:
        record = data.draw(st.sampled_from(self.delivered))
        before = len(self.requests)
        live, rollout = self.state.live, self.state.rollout
        self._deliver(record)
        assert self.state.rollout == rollout, "a replay neither begins nor ends a rollout"
        assert len(self.requests) == before, "a replay asks for nothing"
        assert self.state.live == live, "a replay changes nothing that is live"

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
    def knows_what_is_in_flight(self) -> None:
        if self.open is not None:
            assert self.state.running is not None
            assert self.state.running.request_id == self.open.record_id
        elif self.state.running is not None:
            assert self.now > self.state.running.deadline

    @invariant()
    def knows_what_is_live(self) -> None:
        assert self.state.live == self.live

    @invariant()
    def stays_bounded(self) -> None:
        assert len(self.state.windows) <= RULES.max_windows
        assert len(self.state.said) <= 32

    @invariant()
    def every_answer_has_a_reason(self) -> None:
        assert all(answer.reason.endswith(".") for answer in self.answers)


TestTriggerLives = TriggerLives.TestCase
TestTriggerLives.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
