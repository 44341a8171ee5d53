"""The demonstration on the embedded stack: what `driftline demo` runs.

It has a folder of its own below DRIFTLINE_HOME, emptied at the start, so that a demonstration
never meets the log or the models of another run.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.demo.pictures import draw
from deploy.demo.process import TrafficProcess
from deploy.demo.report import Report, write
from deploy.demo.scenarios import scenario_named
from deploy.demo.system import Addresses
from deploy.demo.view import View
from deploy.local.stack import ProcessStatus
from deploy.output import talk
from deploy.processes import fault_file, served_model
from streaming.contracts.clock import SystemClock
from streaming.contracts.errors import Misconfigured
from streaming.contracts.log import RecordLog
from streaming.contracts.model import ModelContract

if TYPE_CHECKING:
    from deploy.wiring import House


@dataclass
class EmbeddedSystem:
    """Implements `deploy.demo.system.DemoSystem` on the embedded stack."""

    house: House

    @cached_property
    def contract(self) -> ModelContract:
        """The model that is shown."""
        return self.house.contract(served_model(self.house))

    @cached_property
    def log(self) -> RecordLog:
        """The record log; usable once `up` has returned."""
        return self.house.open_log()

    @property
    def addresses(self) -> Addresses:
        """Where things answer."""
        return Addresses(
            bootstrap=self.house.bootstrap,
            envoy=self.house.envoy_url,
            prometheus=self.house.prometheus_url,
            flink=self.house.flink_url,
            metrics_port=self.house.ports.demo_metrics,
            predictions_topic=self._predictions_topic,
        )

    @property
    def _predictions_topic(self) -> str:
        served = self.house.settings_of(self.contract.model).predictions
        return served.topic if served else ""

    def up(self, say: Callable[[str], None]) -> None:
        """An empty stack, every process ready."""
        stack = self.house.stack()
        if any(process.pid for process in stack.status()):
            say("Ending the stack of an earlier demonstration")
            stack.down()
        for name in ("artifacts", "data", "daemon", "metadata", "scratch", "envoy", "prometheus"):
            shutil.rmtree(self.house.home / name, ignore_errors=True)
        for role in ("stable", "control", "canary"):
            fault_file(self.house, role).unlink(missing_ok=True)
        stack.up(["kafka"], on_progress=lambda process: say(_line(process)))
        self.house.ensure_topics()
        stack.up(None, on_progress=lambda process: say(_line(process)))

    def submit_job(self) -> str:
        """Start the stream job from the topic's beginning."""
        return self.house.submit_job(self.contract.model, say=lambda text: None)

    def slow_down(self, role: str, latency_ms: int) -> None:
        """Let a model server answer late."""
        file = fault_file(self.house, role)
        file.parent.mkdir(parents=True, exist_ok=True)
        beside = file.with_suffix(".new")
        beside.write_text(json.dumps({"latency_ms": latency_ms} if latency_ms else {}))
        beside.rename(file)

    def log_file(self, process: str) -> Path:
        """Where the process writes."""
        return self.house.home / "log" / f"{process}.log"

    def down(self) -> None:
        """Stop every process."""
        if "log" in self.__dict__:
            self.log.close()
        self.house.stack().down()


def _line(process: ProcessStatus) -> str:
    return f"{process.name}: {process.health}"


def run(house: House, *, scenario: str, data: Path | None, keep: bool) -> Report:
    """Run a scenario from nothing to its report, in the stack of the demonstration's profile.

    Raises
    ------
    Misconfigured
        When the settings name no stack of its own to empty.
    NotFound
        When there is no such scenario.
    """
    from deploy.demo.live import screen
    from deploy.demo.runner import run_demo

    if not house.settings.local.folder:
        raise Misconfigured(
            f"{house.file.name} names no local.folder; the demonstration empties its stack at the "
            "start, so it needs one of its own. deploy/demo.yaml has one."
        )
    chosen = scenario_named(scenario)
    folder = house.base / "demo"
    system = EmbeddedSystem(house)
    traffic = TrafficProcess(folder, system.log_file("demo-traffic"))
    views: list[View] = []
    with ExitStack() as leaving, screen(talk) as shown:
        if not keep:
            leaving.callback(traffic.close)

        def update(view: View) -> None:
            views[:] = [view]
            shown.show(view)

        report = run_demo(
            system,
            traffic,
            chosen,
            folder=folder,
            clock=SystemClock(),
            data=data,
            keep=keep,
            on_update=update,
        )
    write(report, folder / "report.json")
    pictures = draw(views[0], report, folder) if views else ()
    _summary(report, system, pictures, keep=keep)
    return report


def _summary(
    report: Report, system: EmbeddedSystem, pictures: tuple[Path, ...], *, keep: bool
) -> None:
    """What to look at now."""
    talk.print(f"{report.scenario}: {report.outcome}. {report.why}")
    talk.print(f"report: {system.house.base / 'demo' / 'report.json'}", soft_wrap=True)
    for picture in pictures:
        talk.print(f"picture: {picture}", soft_wrap=True)
    if keep:
        addresses = system.addresses
        talk.print(f"Prometheus {addresses.prometheus} · Flink {addresses.flink}")
        talk.print("The stack goes on; `driftline -c deploy/demo.yaml down` ends it.")
