"""Runs one scenario on a system from nothing to its report.

The loop is one thread: take in what the log brings, look at the traffic, see whether the current
step is done, act, show. It ends when the last step is done, when something broke, or when a step
took too long; whatever happens, there is a report that says why.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.demo import checks
from deploy.demo import timeline as stories
from deploy.demo.control import Phase, TrafficConfig
from deploy.demo.report import Report
from deploy.demo.report_builder import summed
from deploy.demo.scenarios import (
    Accept,
    Act,
    AddColumn,
    Ask,
    Predict,
    Scenario,
    SlowDown,
    Step,
    Switch,
)
from deploy.demo.system import DemoSystem, TrafficControl
from deploy.demo.timeline import Story
from deploy.demo.view import View
from deploy.records import commands
from streaming.contracts.clock import Clock
from streaming.contracts.codec import record_in
from streaming.contracts.errors import DriftlineError, PermanentError
from streaming.contracts.log import Message
from streaming.contracts.records import Action, DriftVerdict

OnUpdate = Callable[[View], None]

POLL_SECONDS = 0.1
LOOK_SECONDS = 0.5
MAX_AT_ONCE = 500
"""Records taken in before the traffic and the screen get their turn."""
SETTLE_SECONDS = 1.0
"""Dead letters may arrive a little after the summary that counts them."""
DRAIN_SECONDS = 90.0
"""At most so long from the end of the traffic to the last window's verdict."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How much traffic there is."""

    events_per_second: float = 400.0
    predictions_per_second: float = 200.0
    history_rows: int = 24_000


class Failed(PermanentError):
    """The scenario did not keep its promise; the message says why."""


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
    on_update: OnUpdate = lambda view: None,
) -> Report:
    """Run `scenario` to its end and say what was seen.

    Parameters
    ----------
    system:
        The stack; brought up here, and down again unless `keep`.
    traffic:
        The traffic process.
    folder:
        Where traffic and runner keep their files.
    data:
        A CSV file to replay instead of made-up trips.
    keep:
        Leave the stack and its traffic running.
    on_update:
        Called about twice a second with everything known; must not raise.

    A scenario that fails is a report with outcome ``failed``, never an error.
    """
    run = _Run(system, traffic, scenario, clock, on_update)
    config = run.config(folder, data, pace)
    why = ""
    try:
        try:
            run.bring_up(config)
            for number, step in enumerate(scenario.steps, start=1):
                run.go(number, step)
        except DriftlineError as error:
            why = str(error)
        report = run.finish(config.data or "generated", why)
        if keep:
            run.keep_going(config)
    finally:
        if not keep:
            system.down()
    return report


def _last_world(since: Mapping[str, float]) -> Phase:
    """The world that the traffic was in."""
    worlds: tuple[Phase, ...] = ("shifted", "turned")
    return next((world for world in worlds if world in since), "ordinary")


class _Run:
    """The state of one run."""

    def __init__(
        self,
        system: DemoSystem,
        traffic: TrafficControl,
        scenario: Scenario,
        clock: Clock,
        on_update: OnUpdate,
    ) -> None:
        self.system = system
        self.traffic = traffic
        self.scenario = scenario
        self.clock = clock
        self.on_update = on_update
        now = clock.now()
        self.story = Story(model=system.contract.model, started_at=now)
        self.view = View(
            scenario=scenario.name,
            started_at=now,
            now=now,
            story=self.story,
            steps=len(scenario.steps),
        )
        self._messages: Iterator[Message | None] | None = None
        self._looked = 0.0
        self._traffic_started = False

    def config(self, folder: Path, data: Path | None, pace: Pace) -> TrafficConfig:
        """The traffic of this run."""
        contract, addresses = self.system.contract, self.system.addresses
        return TrafficConfig(
            bootstrap=addresses.bootstrap,
            events_topic=contract.events_topic,
            labels_topic=contract.labels_topic,
            predictions_topic=addresses.predictions_topic,
            key=contract.key,
            time=contract.time,
            model=contract.model,
            envoy=addresses.envoy,
            folder=str(folder),
            run=f"{self.view.started_at:.0f}",
            data=str(data.resolve()) if data else "",
            events_per_second=pace.events_per_second,
            predictions_per_second=pace.predictions_per_second,
            history_rows=pace.history_rows,
            history_seconds=pace.history_rows / pace.events_per_second,
            metrics_port=addresses.metrics_port,
        )

    def bring_up(self, config: TrafficConfig) -> None:
        """Engines, then traffic, then the job: so that past events are never late."""
        self.system.up(self._say)
        self.story.note(self.clock.now(), "the stack is up")
        self._messages = self.system.log.follow(
            stories.FOLLOWED, from_start=False, poll_seconds=POLL_SECONDS
        )
        next(self._messages)  # stands at the end of each topic before anything happens
        self.traffic.start(config)
        self._traffic_started = True
        self.story.note(self.clock.now(), "traffic begins", config.data)
        self._wait(self.scenario.steps[0])
        self._say("the stream job to start")
        job = self.system.submit_job()
        self.story.note(self.clock.now(), "the stream job is submitted", job)

    def go(self, number: int, step: Step) -> None:
        """One step: wait, then act."""
        self.view.step = number
        self._wait(step)
        self.story.note(self.clock.now(), f"seen: {step.waits_for}")
        for act in step.then:
            self._act(act)

    def finish(self, data: str, why: str) -> Report:
        """End the traffic, let the last windows close, judge, and sum up."""
        if self._traffic_started:
            try:
                self._drain()
            except DriftlineError as error:
                why = why or str(error)
                self._traffic_started = False  # it has died; its last status stays
        if not why:
            broken = [check for check in self._checks() if not check.kept]
            why = "; ".join(f"{check.name}: {check.found}" for check in broken)
        passed = not why
        why = why or " ".join(f"{c.name}: {c.found}." for c in self._checks())
        self.view.waits_for = ""
        self.story.note(self.clock.now(), "passed" if passed else "failed", why)
        self._look(force=True)
        return summed(self.view, data=data, outcome="passed" if passed else "failed", why=why)

    def keep_going(self, config: TrafficConfig) -> None:
        """Let the traffic run on in the world it was in, without another history."""
        import msgspec

        since = self.view.traffic.phase_since if self.view.traffic else {}
        on = msgspec.structs.replace(config, history_rows=0, run=f"{config.run}-kept")
        self.traffic.start(on, _last_world(since))
        self.traffic.predict()
        if "column" in self.view.marks:
            self.traffic.add_column()

    # -------------------------------------------------------------------- parts

    def _wait(self, step: Step) -> None:
        self.view.waits_for = step.waits_for
        until = self.clock.now() + step.seconds
        while True:
            self._take()
            self._look()
            if step.done(self.view):
                return
            broken = self.scenario.breaks(self.view)
            if broken:
                raise Failed(broken)
            if self.clock.now() >= until:
                raise Failed(
                    f"Waited {step.seconds:.0f} s for {step.waits_for}; it did not come. "
                    f"{self.system.log_file(step.log)} tells more."
                )

    def _take(self) -> None:
        """Everything the log has now; waits a little when that is nothing."""
        if self._messages is None:
            return
        for message in itertools.islice(self._messages, MAX_AT_ONCE):
            if message is None:
                self.clock.sleep(POLL_SECONDS / 2)
                return
            record = record_in(message.value)
            if record is None:
                continue
            self.story.add(record)
            if isinstance(record, DriftVerdict):
                self.view.marks.setdefault(f"seen:{record.record_id}", message.time)

    def _look(self, *, force: bool = False) -> None:
        now = self.clock.now()
        self.view.now = now
        if not force and now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        if self._traffic_started:
            self.view.traffic = self.traffic.status() or self.view.traffic
            self.view.seconds = self.traffic.seconds()
        self.on_update(self.view)

    def _act(self, act: Act) -> None:
        now = self.clock.now()
        match act:
            case Switch(phase=phase):
                self.story.note(now, f"traffic becomes {phase}")
                self.traffic.switch(phase)
            case Predict():
                self.traffic.predict()
            case SlowDown(role=role, latency_ms=latency):
                self.view.marks.setdefault("fault", now)
                self.story.note(now, f"{role} answers {latency} ms late")
                self.system.slow_down(role, latency)
            case AddColumn():
                self.view.marks.setdefault("column", now)
                self.story.note(now, "events carry a new column")
                self.traffic.add_column()
            case Ask(action=action, reason=reason):
                self._ask(action, reason)
            case Accept(reason=reason):
                offer = self.story.offer
                if offer is None:
                    raise Failed("There is no schema change to accept any more.")
                self._ask("accept-schema", reason, offer.proposal_id, offer.digest)

    def _ask(self, action: Action, reason: str, subject: str = "", digest: str = "") -> None:
        now, model = self.clock.now(), self.story.model
        self.story.note(now, f"a person asks: {action}", reason)
        command = commands.command(
            model, action, reason, at=now, subject=subject, digest=digest, who="demo"
        )
        self.view.asked.append(command.record_id)
        self.system.log.append([command])

    def _drain(self) -> None:
        self.traffic.switch("stop")
        self.view.waits_for = "the last windows to close"
        until = self.clock.now() + DRAIN_SECONDS
        settled = None
        while self.clock.now() < until:
            self._take()
            self._look()
            traffic = self.view.traffic
            if traffic is not None and traffic.finished:
                topic = self.system.contract.events_topic
                self.view.offsets = sum(span.stop for span in self.system.log.spans(topic))
                if self.story.accounts.offsets_read >= self.view.offsets:
                    settled = settled or self.clock.now() + SETTLE_SECONDS
                    if self.clock.now() >= settled:
                        return
        # Not accounted in time: the check says by how much.

    def _checks(self) -> list[checks.Check]:
        return [check(self.view) for check in self.scenario.checks]

    def _say(self, what: str) -> None:
        self.view.waits_for = what
        self._look(force=True)
