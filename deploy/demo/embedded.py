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

from deploy.demo.charts import draw
from deploy.demo.process import TrafficProcess
from deploy.demo.report import Report, write
from deploy.demo.scenarios import scenario_named
from deploy.demo.system import Addresses
from deploy.demo.view import View
from deploy.local.embedded import fault_file, served_model
from deploy.local.stack import ProcessStatus
from deploy.views.output import talk
from streaming.contracts.clock import SystemClock
from streaming.contracts.errors import ConfigurationError
from streaming.contracts.log import RecordLog
from streaming.contracts.model import ModelContract

if TYPE_CHECKING:
    from deploy.app.deployment import Deployment


@dataclass
class EmbeddedSystem:
    """Implements `deploy.demo.system.DemoSystem` on the embedded stack."""

    deployment: Deployment

    @cached_property
    def contract(self) -> ModelContract:
        """The model that is shown."""
        return self.deployment.contract(served_model(self.deployment))

    @cached_property
    def log(self) -> RecordLog:
        """The record log; usable once `up` has returned."""
        return self.deployment.open_log()

    @property
    def addresses(self) -> Addresses:
        """Where things answer."""
        return Addresses(
            bootstrap=self.deployment.bootstrap,
            envoy=self.deployment.envoy_url,
            prometheus=self.deployment.prometheus_url,
            flink=self.deployment.flink_url,
            metrics_port=self.deployment.ports.demo_metrics,
            predictions_topic=self._predictions_topic,
        )

    @property
    def _predictions_topic(self) -> str:
        served = self.deployment.settings_of(self.contract.model).predictions
        return served.topic if served else ""

    def up(self, say: Callable[[str], None]) -> None:
        """An empty stack, every process ready."""
        stack = self.deployment.stack()
        if any(process.pid for process in stack.status()):
            say("Ending the stack of an earlier demonstration")
            stack.down()
        for name in ("artifacts", "data", "daemon", "metadata", "scratch", "envoy", "prometheus"):
            shutil.rmtree(self.deployment.home / name, ignore_errors=True)
        for role in ("stable", "control", "canary"):
            fault_file(self.deployment, role).unlink(missing_ok=True)
        stack.up(["kafka"], on_progress=lambda process: say(_line(process)))
        self.deployment.ensure_topics()
        stack.up(None, on_progress=lambda process: say(_line(process)))

    def submit_job(self) -> str:
        """Start the stream job from the topic's beginning."""
        return self.deployment.submit_job(self.contract.model, say=lambda text: None)

    def slow_down(self, role: str, latency_ms: int) -> None:
        """Let a model server answer late."""
        file = fault_file(self.deployment, role)
        file.parent.mkdir(parents=True, exist_ok=True)
        beside = file.with_suffix(".new")
        beside.write_text(json.dumps({"latency_ms": latency_ms} if latency_ms else {}))
        beside.rename(file)

    def log_file(self, process: str) -> Path:
        """Where the process writes."""
        return self.deployment.home / "log" / f"{process}.log"

    def down(self) -> None:
        """Stop every process."""
        if "log" in self.__dict__:
            self.log.close()
        self.deployment.stack().down()


def _line(process: ProcessStatus) -> str:
    return f"{process.name}: {process.health}"


def run(deployment: Deployment, *, scenario: str, data: Path | None, keep: bool) -> Report:
    """Run a scenario from nothing to its report, in the stack of the demonstration's profile.

    Raises
    ------
    ConfigurationError
        When the settings name no stack of its own to empty.
    NotFoundError
        When there is no such scenario.
    """
    from deploy.demo.live import screen
    from deploy.demo.runner import run_demo

    if not deployment.settings.local.folder:
        raise ConfigurationError(
            f"{deployment.file.name} names no local.folder; the demonstration empties its stack at the "
            "start, so it needs one of its own. deploy/config/demo.yaml has one."
        )
    chosen = scenario_named(scenario)
    folder = deployment.base / "demo"
    system = EmbeddedSystem(deployment)
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
    talk.print(f"report: {system.deployment.base / 'demo' / 'report.json'}", soft_wrap=True)
    for picture in pictures:
        talk.print(f"picture: {picture}", soft_wrap=True)
    if keep:
        addresses = system.addresses
        talk.print(f"Prometheus {addresses.prometheus} · Flink {addresses.flink}")
        talk.print("The stack goes on; `driftline -c deploy/config/demo.yaml down` ends it.")
