"""Runs one scenario on a system and builds its report.

The loop is single-threaded: read new records, read the traffic's status, check the current step,
perform its actions, update the screen. It ends with the last step, with a failure, or when a step
takes too long. There is a report with the reason in every case.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from deploy.config.paths import driftline_program
from deploy.demo.approval import decision_address, decision_commands, request_of
from deploy.demo.control import TrafficConfig, TrafficPhase
from deploy.demo.report import Outcome, Report
from deploy.demo.report_builder import build_report
from deploy.demo.scenarios import (
    AcceptSchemaChange,
    AddColumn,
    Approve,
    DelayServer,
    Scenario,
    ScenarioStep,
    SendCommand,
    ShowDecisionPage,
    StartPredictions,
    StepAction,
    SwitchTraffic,
)
from deploy.demo.state import DemoState
from deploy.demo.system import DemoSystem, TrafficControl
from deploy.demo.timeline import FOLLOWED_TOPICS, RecordTimeline
from deploy.records import commands
from streaming.contracts.clock import Clock
from streaming.contracts.codec import record_in
from streaming.contracts.errors import DriftlineError, PermanentError
from streaming.contracts.log import Message
from streaming.contracts.mapping import REGISTERED, is_flat
from streaming.contracts.records import Action, ApprovalRequest, DriftVerdict

OnUpdate = Callable[[DemoState], None]

POLL_SECONDS = 0.1
UPDATE_SECONDS = 0.5
MAX_RECORDS_PER_POLL = 500
"""Bounds the time until traffic and screen are updated again."""
DEAD_LETTER_GRACE_SECONDS = 1.0
"""Dead letters may arrive this much later than the summary that counts them."""
DRAIN_SECONDS = 90.0
"""Longest time from the end of the traffic to the verdict on the last window."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Amount of traffic."""

    events_per_second: float = 400.0
    predictions_per_second: float = 200.0
    history_rows: int = 24_000


class ScenarioFailed(PermanentError):
    """The scenario did not keep a promise; the message gives the reason."""


def run_demo(
    system: DemoSystem,
    traffic: TrafficControl,
    scenario: Scenario,
    *,
    folder: Path,
    clock: Clock,
    data: Path | None = None,
    keep: bool = False,
    pace: Pace = Pace(),
    on_update: OnUpdate = lambda state: None,
) -> Report:
    """Run `scenario` to its end and report what was observed.

    Parameters
    ----------
    system:
        The stack; started here, and stopped again unless `keep`.
    traffic:
        The traffic process.
    folder:
        Folder of the files that traffic and runner exchange.
    data:
        CSV file to replay instead of generated trips.
    keep:
        Leave the stack and its traffic running.
    on_update:
        Called about twice a second with the current state; must not raise.

    A scenario that fails gives a report with outcome ``failed``, never an error.
    """
    run = _Run(system, traffic, scenario, clock=clock, on_update=on_update)
    config = run.traffic_config(folder, data, pace)
    why = ""
    try:
        try:
            run.bring_up(config)
            for number, step in enumerate(scenario.steps, start=1):
                run.run_step(number, step)
        except DriftlineError as error:
            why = str(error)
        report = run.finish(config.data or "generated", why)
        if keep and run.stack_is_up:  # else its addresses may be those of another stack
            run.restart_traffic(config)
    finally:
        if not keep:
            system.down()
    return report


def _last_distribution(phase_since: Mapping[str, float]) -> TrafficPhase:
    """The distribution that the traffic was in at the end."""
    shifted: tuple[TrafficPhase, ...] = ("shifted", "concept_shift")
    return next((phase for phase in shifted if phase in phase_since), "ordinary")


class _Run:
    """Mutable state of one run."""

    def __init__(
        self,
        system: DemoSystem,
        traffic: TrafficControl,
        scenario: Scenario,
        *,
        clock: Clock,
        on_update: OnUpdate,
    ) -> None:
        self.system = system
        self.traffic = traffic
        self.scenario = scenario
        self.clock = clock
        self.on_update = on_update
        now = clock.now()
        self.timeline = RecordTimeline(model=system.contract.model, started_at=now)
        self.state = DemoState(
            scenario=scenario.name,
            started_at=now,
            now=now,
            timeline=self.timeline,
            steps=len(scenario.steps),
        )
        self._messages: Iterator[Message | None] | None = None
        self._updated_at = 0.0
        self._traffic_started = False
        self.stack_is_up = False
        """Whether the stack has started."""

    def traffic_config(self, folder: Path, data: Path | None, pace: Pace) -> TrafficConfig:
        """The traffic of this run."""
        contract, addresses = self.system.contract, self.system.addresses
        return TrafficConfig(
            bootstrap=addresses.bootstrap,
            events_topic=contract.events_topic,
            labels_topic=contract.labels_topic,
            predictions_topic=addresses.predictions_topic,
            key=contract.labels.key or contract.key,
            time=contract.predictions.time or contract.time,
            written_as=None
            if is_flat(contract.events, key=contract.key, time=contract.time)
            else contract,
            registry=addresses.registry if contract.events.format in REGISTERED else None,
            model=contract.model,
            envoy=addresses.envoy,
            folder=str(folder),
            run=f"{self.state.started_at:.0f}",
            data=str(data.resolve()) if data else "",
            events_per_second=pace.events_per_second,
            predictions_per_second=pace.predictions_per_second,
            history_rows=pace.history_rows,
            history_seconds=pace.history_rows / pace.events_per_second,
            metrics_port=addresses.metrics_port,
        )

    def bring_up(self, config: TrafficConfig) -> None:
        """Start the stack, then the traffic, then the job, so that past events are never late."""
        self._note("the stack starts")
        self.system.up(self._report_progress)
        self.stack_is_up = True
        self._note("the stack is up")
        self._messages = self.system.log.follow(
            FOLLOWED_TOPICS, from_start=False, poll_seconds=POLL_SECONDS
        )
        next(self._messages)  # positions the reader at the end of each topic
        self.traffic.start(config)
        self._traffic_started = True
        self._note("traffic begins", config.data)
        self._wait(self.scenario.steps[0])
        self._report_progress("the stream job to start")
        job_id = self.system.submit_job()
        self._note("the stream job is submitted", job_id)

    def run_step(self, number: int, step: ScenarioStep) -> None:
        """Wait for the step's condition, then perform its actions."""
        self.state.step = number
        self._wait(step)
        for action in step.actions:
            self._perform(action)

    def finish(self, data: str, why: str) -> Report:
        """End the traffic, wait for the last windows, evaluate the checks, build the report."""
        if self._traffic_started:
            try:
                self._drain()
            except DriftlineError as error:
                why = why or str(error)
                self._traffic_started = False  # the process has died; its last status stays
        results = tuple(check(self.state) for check in self.scenario.checks)
        self.state.checks, self.state.ended_early = results, why
        why = why or "; ".join(f"{c.name}: {c.seen}" for c in results if not c.passed)
        passed = not why
        why = why or " ".join(f"{check.name}: {check.seen}." for check in results)
        self.state.waits_for = ""
        self._note("passed" if passed else "failed")
        self._update(force=True)
        outcome: Outcome = "passed" if passed else "failed"
        return build_report(self.state, data=data, outcome=outcome, why=why)

    def restart_traffic(self, config: TrafficConfig) -> None:
        """Continue the traffic in its last distribution, without a second history."""
        phase_since = self.state.traffic.phase_since if self.state.traffic else {}
        kept = msgspec.structs.replace(config, history_rows=0, run=f"{config.run}-kept", kept=True)
        self.traffic.start(kept, _last_distribution(phase_since))
        self.traffic.predict()
        if self.state.new_column_at is not None:
            self.traffic.add_column()

    # -------------------------------------------------------------------- parts

    def _note(self, what: str, detail: str = "") -> None:
        self.timeline.note(self.clock.now(), what, detail)

    def _wait(self, step: ScenarioStep) -> None:
        self.state.waits_for = step.waits_for
        if step.by_person:
            self.state.waits_for = f"{step.waits_for} at {self.state.decision_at}"
        deadline = self.clock.now() + step.seconds
        while True:
            self._read_records()
            self._update()
            if step.done(self.state):
                return
            failure = self.scenario.failure(self.state)
            if failure:
                raise ScenarioFailed(failure)
            if self.clock.now() >= deadline:
                raise ScenarioFailed(
                    f"Waited {step.seconds:.0f} s for {step.waits_for}; it did not come. "
                    f"See {self.system.log_file(step.log)}."
                )

    def _read_records(self) -> None:
        """Read what the log has now; sleep briefly when there is nothing."""
        if self._messages is None:
            return
        for message in itertools.islice(self._messages, MAX_RECORDS_PER_POLL):
            if message is None:
                self.clock.sleep(POLL_SECONDS / 2)
                return
            record = record_in(message.value)
            if record is None:
                continue
            self.timeline.add(record)
            if isinstance(record, DriftVerdict):
                self.state.verdict_seen_at.setdefault(record.record_id, message.time)

    def _update(self, *, force: bool = False) -> None:
        now = self.clock.now()
        self.state.now = now
        if not force and now - self._updated_at < UPDATE_SECONDS:
            return
        self._updated_at = now
        if self._traffic_started:
            self.state.traffic = self.traffic.status() or self.state.traffic
            self.state.seconds = self.traffic.seconds()
        self.on_update(self.state)

    def _perform(self, action: StepAction) -> None:
        now = self.clock.now()
        match action:
            case SwitchTraffic(phase=phase):
                self._note(f"traffic becomes {phase.replace('_', ' ')}")
                self.traffic.switch(phase)
            case StartPredictions():
                self._note("clients send prediction requests")
                self.traffic.predict()
            case DelayServer(role=role, latency_ms=latency):
                if self.state.delay_at is None:
                    self.state.delay_at = now
                self._note(f"{role} answers {latency} ms late")
                self.system.delay_server(role, latency)
            case AddColumn():
                self.state.new_column_at = now
                self._note("events carry a new column")
                self.traffic.add_column()
            case SendCommand(action=command, reason=reason):
                self._send_command(command, reason)
            case AcceptSchemaChange(reason=reason):
                proposal = self.timeline.open_proposal
                if proposal is None:
                    raise ScenarioFailed("The schema proposal is no longer open.")
                self._send_command(
                    "accept-schema", reason, subject=proposal.proposal_id, digest=proposal.digest
                )

            case Approve(version=version, reason=reason):
                request = self._open_request(version)
                self._send_command(
                    "approve", reason, subject=request.record_id, digest=request.digest
                )
            case ShowDecisionPage(version=version):
                request = self._open_request(version)
                self.state.decision_at = decision_address(self.system.open_console(), request)
                otherwise = decision_commands(driftline_program(), request)
                self._note(
                    f"version {version} waits for your decision",
                    f"open {self.state.decision_at} {otherwise}",
                )

    def _open_request(self, version: int) -> ApprovalRequest:
        request = request_of(self.state, version)
        assert request is not None  # the step before waited for it
        return request

    def _send_command(
        self, action: Action, reason: str, *, subject: str = "", digest: str = ""
    ) -> None:
        self._note(f"command sent: {action}", reason)
        command = commands.new_command(
            self.timeline.model,
            action,
            reason,
            at=self.clock.now(),
            subject=subject,
            digest=digest,
            who="demo",
        )
        self.state.commands.append(command.record_id)
        self.system.log.append([command])

    def _drain(self) -> None:
        """Stop the traffic and wait until every event is counted, at most `DRAIN_SECONDS`.

        If events are still missing then, `checks.every_event_counted` fails and states how many.
        """
        self.traffic.switch("stop")
        self.state.waits_for = "the last windows to close"
        deadline = self.clock.now() + DRAIN_SECONDS
        all_read_at = None
        while self.clock.now() < deadline:
            self._read_records()
            self._update()
            traffic = self.state.traffic
            if traffic is None or not traffic.finished:
                continue
            topic = self.system.contract.events_topic
            self.state.end_offset = sum(span.stop for span in self.system.log.spans(topic))
            if self.timeline.counts.offsets_read >= self.state.end_offset:
                all_read_at = all_read_at or self.clock.now()
                if self.clock.now() >= all_read_at + DEAD_LETTER_GRACE_SECONDS:
                    return

    def _report_progress(self, waits_for: str) -> None:
        self.state.waits_for = waits_for
        self._update(force=True)
