"""The demonstration on the embedded stack: `driftline demo`.

It has its own folder below DRIFTLINE_HOME. The folder is emptied at the start, so a demonstration
never reads the log or the models of an earlier run.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from deploy.app.deployment import Deployment
from deploy.app.serving_layout import fault_file
from deploy.app.stream_jobs import stream_job, submitted_jobs
from deploy.app.topics import ensure_topics, ensure_topics_after_start
from deploy.config.port_map import HOST
from deploy.demo.approval import with_approval
from deploy.demo.console_process import ConsoleProcess
from deploy.demo.control import end_kept_traffic
from deploy.demo.process import TrafficProcess
from deploy.demo.report import Report, write
from deploy.demo.scenarios import Scenario, scenario_named
from deploy.demo.state import DemoState
from deploy.demo.summary import Outputs, print_summary
from deploy.demo.system import Addresses
from deploy.local.configuration import SET_ASIDE
from deploy.local.embedded import embedded_stack
from deploy.local.private_folder import private_files
from deploy.local.stack import ProcessStatus
from deploy.views.library_output import redirect_to
from deploy.views.output import stderr
from streaming.contracts.clock import SystemClock
from streaming.contracts.errors import ConfigurationError
from streaming.contracts.log import RecordLog
from streaming.contracts.model import ModelContract


@dataclass
class EmbeddedSystem:
    """Implements `deploy.demo.system.DemoSystem` on the embedded stack."""

    deployment: Deployment
    console: ConsoleProcess | None = None
    """Once it was opened."""

    @cached_property
    def contract(self) -> ModelContract:
        """The model of the demonstration."""
        return self.deployment.contract(self.deployment.served_models[0])

    @cached_property
    def log(self) -> RecordLog:
        """The record log; usable once `up` has returned."""
        return self.deployment.open_log()

    @property
    def addresses(self) -> Addresses:
        """Addresses of the stack."""
        return Addresses(
            bootstrap=self.deployment.bootstrap,
            envoy=self.deployment.envoy_url,
            prometheus=self.deployment.prometheus_url,
            flink=self.deployment.flink_url,
            registry=self.deployment.registry,
            metrics_port=self.deployment.ports.demo_metrics,
            predictions_topic=self._predictions_topic,
        )

    @property
    def _predictions_topic(self) -> str:
        predictions = self.deployment.settings_of(self.contract.model).predictions
        return predictions.topic if predictions else ""

    def up(self, on_progress: Callable[[str], None]) -> None:
        """Empty the folder and start every process."""
        stack = embedded_stack(self.deployment)
        if any(process.pid for process in stack.status()):
            on_progress("the stack of an earlier demonstration to stop")
            end_kept_traffic(self.deployment.base / "demo")
            stack.down()
        parts = ("artifacts", "data", "daemon", "metadata", "scratch", "envoy", "prometheus")
        for name in (*parts, "projection", SET_ASIDE):
            shutil.rmtree(self.deployment.home / name, ignore_errors=True)
        for role in ("stable", "control", "canary"):
            fault_file(self.deployment, self.contract.model, role).unlink(missing_ok=True)
        submitted_jobs(self.deployment).forget_all()
        stack.up(["kafka"], on_progress=lambda process: on_progress(_progress(process)))
        ensure_topics_after_start(self.deployment)
        stack.up(None, on_progress=lambda process: on_progress(_progress(process)))

    def submit_job(self) -> str:
        """Start the stream job from the beginning of the topic and return its id."""
        return stream_job(self.deployment, self.contract.model).submit(
            lambda: ensure_topics(self.deployment), lambda text: None
        )

    def delay_server(self, role: str, latency_ms: int) -> None:
        """Delay the responses of a model server."""
        file = fault_file(self.deployment, self.contract.model, role)
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_suffix(".new")
        temporary.write_text(json.dumps({"latency_ms": latency_ms} if latency_ms else {}))
        temporary.rename(file)

    def open_console(self) -> str:
        """Start the console, which ends with the demonstration."""
        address = f"http://{HOST}:{self.deployment.ports.console}"
        if self.console is None:
            self.console = ConsoleProcess(self.deployment.file, address, self.log_file("console"))
            self.console.start()
        return address

    def close_console(self) -> None:
        """End the console."""
        if self.console is not None:
            self.console.close()

    def log_file(self, process: str) -> Path:
        """Log file of a process."""
        return self.deployment.home / "log" / f"{process}.log"

    def down(self) -> None:
        """Stop every process."""
        if "log" in self.__dict__:
            self.log.close()
        embedded_stack(self.deployment).down()


def _progress(process: ProcessStatus) -> str:
    return f"the stack to start: {process.name} is {process.health}"


def run(
    deployment: Deployment,
    *,
    scenario: str,
    data: Path | None,
    keep: bool,
    approve: bool = False,
) -> Report:
    """Run a scenario on the stack of the demonstration's profile and write report and charts.

    Parameters
    ----------
    approve:
        Whether a person decides on version 2; the environment must have `approval_variables`.

    Raises
    ------
    ConfigurationError
        When the settings have no `local.folder`: the demonstration empties its stack.
    NotFoundError
        When there is no such scenario.
    """

    from deploy.demo.charts import draw

    if not deployment.settings.local.folder:
        raise ConfigurationError(
            f"{deployment.file.name} has no local.folder. The demonstration empties its stack at "
            "the start, so it needs a folder of its own, as in deploy/config/demo.yaml."
        )
    selected = scenario_named(scenario)
    if approve:
        selected = with_approval(selected)
    folder = deployment.base / "demo"
    system = EmbeddedSystem(deployment)
    with private_files(), redirect_to(system.log_file("demo")):
        report, state = _run(system, selected, folder, data=data, keep=keep)
        write(report, folder / "report.json")
        _report_drawing(report)
        charts = draw(state, folder)
    outputs = Outputs(
        report=folder / "report.json",
        charts=charts,
        config=deployment.file,
        addresses=system.addresses,
        keep=keep,
    )
    print_summary(stderr, report, state, outputs)
    return report


def _report_drawing(report: Report) -> None:
    """Announce the charts: drawing them takes a while."""
    seconds = report.finished_at - report.started_at
    stderr.print(f"{seconds:7.1f} s  drawing the charts", markup=False, highlight=False)


def _run(
    system: EmbeddedSystem, scenario: Scenario, folder: Path, *, data: Path | None, keep: bool
) -> tuple[Report, DemoState]:
    """Run the scenario under the screen; returns the report and the last state."""
    from deploy.demo.live import screen
    from deploy.demo.runner import run_demo

    traffic = TrafficProcess(folder, system.log_file("demo-traffic"))
    states: list[DemoState] = []
    with ExitStack() as cleanup, screen(stderr) as shown:
        cleanup.callback(system.close_console)
        if not keep:
            cleanup.callback(traffic.close)

        def update(state: DemoState) -> None:
            states[:] = [state]
            shown.show(state)

        report = run_demo(
            system,
            traffic,
            scenario,
            folder=folder,
            clock=SystemClock(),
            data=data,
            keep=keep,
            on_update=update,
        )
    return report, states[0]
