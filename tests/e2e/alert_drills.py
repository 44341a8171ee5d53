"""Alert drills on a real stack: each fault must bring its alert, and only that one, to a receiver.

    python -m tests.e2e.alert_drills --port-offset 17800 [--only quiet stall kill]

It starts the embedded stack of the demonstration's profile in a folder of its own, without traffic.
The local receiver of the notifier takes what Slack would get. The faults are undone at the end of
each drill, and the drill also waits for the message that the cause is resolved.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx

from deploy.app.deployment import Deployment
from deploy.notify.history import History, history_file
from tests.deploy.cli.runner import DEMO

QUIET_SECONDS = 90.0
"""Longer than the longest `for` of what a start could raise, with the wait of its group."""
DEADLINE = 240.0


@dataclass
class Stack:
    """A running stack of the drills."""

    deployment: Deployment
    environment: dict[str, str]

    def command(self, *words: str) -> str:
        """Run `driftline WORDS` and return what it printed on stdout."""
        done = subprocess.run(
            [sys.executable, "-m", "deploy.cli.main", "-c", str(DEMO), *words],
            env=self.environment, check=False, capture_output=True, text=True, timeout=400,
        )  # fmt: skip
        if done.returncode not in (0, 8):
            raise RuntimeError(f"driftline {' '.join(words)}: {done.stdout}{done.stderr}")
        return done.stdout

    def pid(self, process: str) -> int:
        """The process id that `driftline status` shows."""
        rows = json.loads(self.command("status", "--json"))["processes"]
        return next(int(row["pid"]) for row in rows if row["name"] == process)

    def messages(self) -> list[tuple[str, str]]:
        """What the receiver took, oldest first: the names of the alerts in it, and its title."""
        history = History(history_file(self.deployment.home))
        try:
            taken = history.messages(200)[::-1]
        finally:
            history.close()
        return [(_names(body), json.loads(body)["text"]) for _, _, _, body in taken]

    def firing(self) -> list[str]:
        """The alerts that fire now and are no consequence of another."""
        url = f"http://127.0.0.1:{self.deployment.ports.alertmanager}/api/v2/alerts"
        alerts = httpx.get(url, timeout=10.0).json()
        return sorted(
            alert["labels"]["alertname"] for alert in alerts if not alert["status"]["inhibitedBy"]
        )


def _names(body: str) -> str:
    blocks = json.loads(body)["blocks"]
    texts = [b["text"]["text"] for b in blocks if b["type"] == "section"]
    return " ".join(sorted({t.split("*")[1].removeprefix("Resolved: ") for t in texts if "*" in t}))


def until(what: str, ready: Callable[[], bool], deadline: float = DEADLINE) -> float:
    """Wait for something; returns how many seconds it took."""
    began = time.monotonic()
    while not ready():
        if time.monotonic() - began > deadline:
            raise TimeoutError(f"{what} did not come within {deadline:.0f} s")
        time.sleep(1.0)
    return time.monotonic() - began


def quiet(stack: Stack) -> str:
    """A start, and a minute and a half of nothing, raise no alert."""
    time.sleep(QUIET_SECONDS)
    messages = stack.messages()
    assert messages == [], messages
    assert stack.firing() == [], stack.firing()
    return "no alert"


def stall(stack: Stack) -> str:
    """The daemon is stopped and does not answer."""
    process = stack.pid("daemon")
    os.kill(process, signal.SIGSTOP)
    try:
        return _expected(stack, "DriftlineProcessUnresponsive")
    finally:
        # the supervisor may have replaced it already
        try:
            os.kill(process, signal.SIGCONT)
        except ProcessLookupError:
            sys.stdout.write("  (the supervisor has replaced the process)\n")


def kill(stack: Stack) -> str:
    """The retrain worker is killed again and again, so that it never gets ready."""
    stopped = time.monotonic() + 150.0
    seen = 0
    before = len(stack.messages())
    while time.monotonic() < stopped and len(stack.messages()) == before:
        try:
            os.kill(stack.pid("worker"), signal.SIGKILL)
            seen += 1
        except (ProcessLookupError, StopIteration, TypeError):
            pass  # between two starts
        time.sleep(1.0)
    result = _expected(stack, "DriftlineProcessMissing", already=before)
    return f"{result}, after {seen} kills"


def _expected(stack: Stack, alert: str, already: int | None = None) -> str:
    """Wait for an alert, then for its end; nothing else may be told."""
    before = len(stack.messages()) if already is None else already
    seconds = until(alert, lambda: len(stack.messages()) > before)
    until("the end of it", lambda: "resolved" in stack.messages()[-1][1])
    messages = stack.messages()[before:]
    assert {names for names, _ in messages} == {alert}, messages
    return f"{alert} after {seconds:.0f} s, resolved; {len(messages)} messages in one thread"


DRILLS = {"quiet": quiet, "stall": stall, "kill": kill}


def main() -> int:
    """Run the drills; returns 1 when one of them failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port-offset", type=int, default=17800)
    parser.add_argument("--only", nargs="*", choices=sorted(DRILLS), default=list(DRILLS))
    options = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory(prefix="drills") as folder:
        own = {"DRIFTLINE_HOME": folder, "DRIFTLINE__LOCAL__PORT_OFFSET": str(options.port_offset)}
        os.environ.update(own)
        stack = Stack(Deployment.load(DEMO), dict(os.environ))
        try:
            stack.command("up")
            for name, drill in DRILLS.items():
                if name not in options.only:
                    continue
                try:
                    result = drill(stack)
                except (AssertionError, TimeoutError, RuntimeError) as error:
                    failed, result = 1, f"FAILED: {error}"
                sys.stdout.write(f"{name}: {result}\n")
                sys.stdout.flush()
        finally:
            stack.command("down")
    return failed


if __name__ == "__main__":
    sys.exit(main())
