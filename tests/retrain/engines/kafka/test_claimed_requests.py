"""Claims on a real broker: the common suite, killed and stopped workers, and a long training."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from retrain.claims import LAPSE_SECONDS
from retrain.engines.claimed_requests import ClaimedRequests
from streaming.contracts.clock import SystemClock
from streaming.contracts.records import RetrainRequest
from tests.retrain.builders import request
from tests.retrain.engines.kafka.prefixed_log import PrefixedLog
from tests.retrain.request_queue_suite import SUITE, QueueSetup

pytestmark = pytest.mark.engine

ROOT = Path(__file__).resolve().parents[4]

HOLDER = """
import sys
from retrain.engines.claimed_requests import ClaimedRequests
from streaming.contracts.clock import SystemClock
from tests.retrain.engines.kafka.prefixed_log import PrefixedLog
bootstrap, prefix = sys.argv[1:]
queue = ClaimedRequests(PrefixedLog(bootstrap, prefix), worker="holder", clock=SystemClock())
while (request := queue.take(1.0)) is None:
    pass
print(request.record_id, flush=True)
sys.stdin.readline()
print(queue.done(request), flush=True)
"""


class Requests:
    """The topics of one test."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap, self.prefix = bootstrap, f"{uuid.uuid4().hex[:8]}."
        self.log = PrefixedLog(bootstrap, self.prefix)
        self.log.create()
        self.queues: list[ClaimedRequests] = []

    def put(self, request: RetrainRequest) -> None:
        self.log.append([request])

    def join(self) -> ClaimedRequests:
        log = PrefixedLog(self.bootstrap, self.prefix)
        self.queues.append(ClaimedRequests(log, worker="w", clock=SystemClock()))
        return self.queues[-1]

    def holder(self) -> subprocess.Popen[str]:
        """Another process that holds request a; a line of input makes it call and print `done`."""
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, self.bootstrap, self.prefix],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "a"
        return process

    def close(self) -> None:
        for queue in self.queues:
            queue.close()
        self.log.close()


@pytest.fixture
def requests(bootstrap: str) -> Iterator[Requests]:
    of_test = Requests(bootstrap)
    yield of_test
    of_test.close()


def test_the_request_queue_suite(bootstrap: str) -> None:
    for check in SUITE:
        of_check = Requests(bootstrap)
        check(QueueSetup(put=of_check.put, join=of_check.join, timeout_seconds=20.0))
        of_check.close()


def test_the_request_of_a_killed_worker_goes_to_one_of_the_others(requests: Requests) -> None:
    requests.put(request("a"))
    holder = requests.holder()
    first, second = requests.join(), requests.join()
    after_a_lapse = time.monotonic() + LAPSE_SECONDS + 3.0
    while time.monotonic() < after_a_lapse:
        assert first.take(1.0) is None, "its worker renews the claim while it is busy"
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    taken = _taken_by_any(first, second)
    assert len(taken) == 1
    (queue,) = taken
    assert queue.done(request("a"))
    assert first.take(1.0) is second.take(1.0) is None


def test_a_stopped_worker_that_resumes_has_lost_its_request(requests: Requests) -> None:
    requests.put(request("a"))
    holder = requests.holder()
    os.kill(holder.pid, signal.SIGSTOP)
    try:
        (successor,) = _taken_by_any(requests.join())
        os.kill(holder.pid, signal.SIGCONT)
        output, _ = holder.communicate("\n", timeout=60)
        assert output.split()[-1] == "False"
        assert successor.holds(request("a"))
        assert successor.done(request("a"))
    finally:
        holder.kill()
        holder.wait()


def _taken_by_any(*queues: ClaimedRequests) -> list[ClaimedRequests]:
    """The queues that got request a, once one has."""
    deadline = time.monotonic() + 120.0
    taken: list[ClaimedRequests] = []
    while not taken:
        assert time.monotonic() < deadline
        taken = [queue for queue in queues if queue.take(0.5) == request("a")]
    return taken
