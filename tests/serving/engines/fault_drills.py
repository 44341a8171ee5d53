"""Breaks a canary under load, on real Envoy, Prometheus and model servers; what do clients see?

``python -m tests.serving.engines.fault_drills --runs 5`` prints a table: for each fault, at 50 %
and in the bake, the seconds until no request is routed to the candidate any more, and the clients'
errors. REST and gRPC requests are sent side by side. It needs a machine without other work.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import psutil

from serving.ports import Role
from serving.rules import RolloutRules
from tests.serving.engines.real_servers import Clients, Controller, Moment, RealServers
from tests.serving.engines.serving_stack import open_serving_stack, program
from tests.waiting import wait_for

WATCHED_SECONDS = 12.0
"""Traffic goes on for this long after a fault."""
MEMORY_BYTES = 64 << 20
"""What a server without memory may still allocate."""
MOMENTS: tuple[Moment, ...] = ("50 %", "bake")

# ------------------------------------------------------------------------ faults


def kill(stack: RealServers, role: Role) -> None:
    stack.kill(role)


def hang(stack: RealServers, role: Role) -> None:
    stack.running[role].send_signal(signal.SIGSTOP)


def slow(stack: RealServers, role: Role) -> None:
    stack.fault(role, latency_ms=300)


def fail(stack: RealServers, role: Role) -> None:
    stack.fault(role, error_ratio=1.0)


def out_of_memory(stack: RealServers, role: Role) -> None:
    """Every further allocation fails."""
    process = psutil.Process(stack.running[role].pid)
    limit = process.memory_info().vms + MEMORY_BYTES
    process.rlimit(psutil.RLIMIT_AS, (limit, limit))
    body = {"instances": [{"fare": [1.0], "hour": [1], "payment": ["x" * 1000]}] * 20_000}
    port, model = stack.layout.endpoints[role].rest_port, stack.layout.model

    def exhaust() -> None:
        for _ in range(20):
            try:
                httpx.post(
                    f"http://127.0.0.1:{port}/v1/models/{model}:predict", json=body, timeout=5.0
                )
            except httpx.HTTPError:
                return

    for _ in range(4):
        threading.Thread(target=exhaust, daemon=True).start()


def delete(stack: RealServers, role: Role) -> None:
    """The candidate's files, from the store."""
    del role
    shutil.rmtree(stack.folder / "models" / "2")


def wrong_shape(stack: RealServers, role: Role) -> None:
    """The server comes back with a model of another signature."""
    end, model = stack.layout.endpoints[role], stack.layout.model
    stack.kill(role)
    base = stack.folder / "models" / "loop"
    if not (base / "2").exists():
        shutil.copytree(base / "1", base / "2")
    words = ["--role", role, "--grpc-port", str(end.grpc_port), "--rest-port", str(end.rest_port)]
    words += ["--model-name", model, "--base-path", str(base), "--versions", "2"]
    stack.spawn(role, sys.executable, "-m", "serving.engines.modelserver", *words)


Fault = Callable[[RealServers, Role], None]
FAULTS: dict[str, Fault] = {
    "killed": kill,
    "hung": hang,
    "slow": slow,
    "failing": fail,
    "wrong shape": wrong_shape,
    "out of memory": out_of_memory,
    "deleted": delete,
}


# ------------------------------------------------------------------------ drills


@dataclass(frozen=True)
class Outcome:
    """What one drill showed."""

    seconds: float
    """From the fault to the last request that was routed to the candidate."""
    requests: int
    failed: tuple[str, ...]
    phase: str
    """Of the rollout at the end."""


def drill(models: Path, fault: Fault, moment: Moment) -> Outcome:
    """One rollout under load, broken at a moment."""
    prometheus = program("prometheus")
    assert prometheus is not None, "Prometheus is not installed; run `make setup`."
    with tempfile.TemporaryDirectory(prefix="driftline-drill-") as name:
        folder = Path(name)
        shutil.copytree(models, folder / "models")
        with open_serving_stack(folder, prometheus, stack_type=RealServers) as stack:
            return _drill(stack, fault, moment)


def _drill(stack: RealServers, fault: Fault, moment: Moment) -> Outcome:
    rules = RolloutRules(
        steps=(50,) if moment == "50 %" else (50, 100),
        hold_seconds=600.0 if moment == "50 %" else 5.0,
        bake_seconds=600.0,
        bake_weight=10,
        errors_pp=5.0,
        slow_share=0.1,
        deadline_seconds=600.0,
        approval="never",
    )
    controller, clients = Controller(stack, rules), Clients(stack)
    with clients.running(), controller.running():
        controller.wait_for_the(moment)
        before, role = len(clients.failed), stack.candidate_role(moment)
        broken_at, sent = time.time(), clients.total
        fault(stack, role)
        wait_for(lambda: time.time() > broken_at + WATCHED_SECONDS, seconds=2 * WATCHED_SECONDS)
        phase = controller.state.phase.value
        _resume(stack)
    routed = [at for at, arm in clients.arms if arm == role and at > broken_at]
    return Outcome(
        seconds=max(routed, default=broken_at) - broken_at,
        requests=clients.total - sent,
        failed=tuple(clients.failed[before:]),
        phase=phase,
    )


def _resume(stack: RealServers) -> None:
    """A stopped process cannot answer the controller's last questions."""
    for process in stack.running.values():
        process.send_signal(signal.SIGCONT)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--faults", nargs="*", default=list(FAULTS), choices=list(FAULTS))
    parser.add_argument("--moments", nargs="*", default=list(MOMENTS), choices=list(MOMENTS))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="driftline-models-") as name:
        models = Path(name)
        _write_models(models)
        title = (
            f"{'fault':14} {'moment':6}  median s  {'all s':24}  client errors  phase at the end"
        )
        print(title, flush=True)  # noqa: T201
        for fault in options.faults:
            for moment in options.moments:
                run = partial(drill, models, FAULTS[fault], moment)
                _print_row(fault, moment, [run() for _ in range(options.runs)])
    return 0


def _write_models(folder: Path) -> None:
    command = [sys.executable, "-m", "tests.serving.engines.modelserver.make_models", str(folder)]
    subprocess.run(command, check=True, capture_output=True)


def _print_row(fault: str, moment: str, outcomes: list[Outcome]) -> None:
    seconds = sorted(outcome.seconds for outcome in outcomes)
    errors = sum(len(outcome.failed) for outcome in outcomes)
    requests = sum(outcome.requests for outcome in outcomes)
    listed = " ".join(f"{value:.1f}" for value in seconds)
    phases = " ".join(sorted({outcome.phase for outcome in outcomes}))
    print(  # noqa: T201
        f"{fault:14} {moment:6}  {statistics.median(seconds):8.1f}  {listed:24}  "
        f"{errors} of {requests}  {phases}",
        flush=True,
    )
    first = next((text for outcome in outcomes for text in outcome.failed), "")
    if first:
        print(f"    first error: {first}", flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
