"""The queue on a real broker: the common suite, a killed worker, and a long training."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient, NewTopic

from retrain.engines.kafka.request_queue import KafkaRequests
from streaming.contracts.codec import encode
from streaming.contracts.records import RetrainRequest
from tests.retrain.builders import request
from tests.retrain.queue_suite import SUITE, Bench

pytestmark = [
    pytest.mark.engine,
    # kafka-python leaves closing its sockets to the garbage collector when a member is killed
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

ROOT = Path(__file__).resolve().parents[4]

HOLDER = """
import sys
from retrain.engines.kafka.request_queue import KafkaRequests
bootstrap, group, topic = sys.argv[1:]
queue = KafkaRequests(bootstrap, group=group, topic=topic, session_seconds=6.0)
while (taken := queue.take(1.0)) is None:
    pass
print(taken.record_id, flush=True)
sys.stdin.readline()
print(queue.done(taken), flush=True)
"""


class KafkaBench:
    """One topic and one group of their own."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self.topic = self.group = f"requests-{uuid.uuid4().hex[:8]}"
        admin = KafkaAdminClient(bootstrap_servers=bootstrap)
        admin.create_topics([NewTopic(self.topic, num_partitions=1, replication_factor=1)])
        admin.close()
        self.producer = KafkaProducer(bootstrap_servers=bootstrap)

    def put(self, what: RetrainRequest) -> None:
        self.producer.send(self.topic, encode(what)).get(10)

    def put_raw(self, value: bytes) -> None:
        self.producer.send(self.topic, value).get(10)

    def join(self, session_seconds: float = 6.0) -> KafkaRequests:
        return KafkaRequests(
            self.bootstrap, group=self.group, topic=self.topic, session_seconds=session_seconds
        )

    def holder(self) -> subprocess.Popen[str]:
        """Another process that has taken request a; a line of input makes it say it is done."""
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, self.bootstrap, self.group, self.topic],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "a"
        return process

    def close(self) -> None:
        self.producer.close()


@pytest.fixture
def bench(bootstrap: str) -> Iterator[KafkaBench]:
    made = KafkaBench(bootstrap)
    yield made
    made.close()


@pytest.mark.parametrize("check", SUITE, ids=lambda check: check.__name__)
def test_the_suite_of_queues(check: Callable[[Bench], None], bench: KafkaBench) -> None:
    check(Bench(put=bench.put, join=bench.join, patience_seconds=20.0))


def test_a_killed_workers_request_goes_to_the_next_one(bench: KafkaBench) -> None:
    bench.put(request("a"))
    holder = bench.holder()
    successor = bench.join()
    assert successor.take(3.0) is None, "a living worker keeps its request"
    holder.send_signal(signal.SIGKILL)
    killed = time.monotonic()
    holder.wait()
    taken = None
    while taken is None and time.monotonic() - killed < 40:
        taken = successor.take(1.0)
    assert taken == request("a")
    assert time.monotonic() - killed < 25
    assert successor.done(request("a"))
    successor.close()


def test_a_long_training_outlives_the_session_while_others_join(bench: KafkaBench) -> None:
    bench.put(request("a"))
    bench.put(request("b"))
    busy = bench.join(session_seconds=6.0)
    held = busy.take(20.0)
    assert held == request("a")
    other = bench.join(session_seconds=6.0)
    asked_until = time.monotonic() + 9.0
    while time.monotonic() < asked_until:
        assert other.take(0.5) is None
    assert busy.done(request("a")), "the group was about to rebalance, and the request still ours"
    following = None
    for _ in range(20):
        following = busy.take(1.0) or other.take(1.0)
        if following is not None:
            break
    assert following == request("b")
    busy.close()
    other.close()


def test_a_stopped_worker_that_wakes_up_learns_that_it_lost_its_request(bench: KafkaBench) -> None:
    bench.put(request("a"))
    holder = bench.holder()
    os.kill(holder.pid, signal.SIGSTOP)
    try:
        successor = bench.join()
        taken, deadline = None, time.monotonic() + 40
        while taken is None and time.monotonic() < deadline:
            taken = successor.take(1.0)
        assert taken == request("a")
        assert successor.done(request("a"))
        os.kill(holder.pid, signal.SIGCONT)
        said, _ = holder.communicate("\n", timeout=60)
        assert said.split()[-1] == "False"
        assert successor.take(2.0) is None
        successor.close()
    finally:
        holder.kill()
        holder.wait()


def test_what_is_no_request_is_passed_over(bench: KafkaBench) -> None:
    bench.put_raw(b"nonsense")
    bench.put(request("a"))
    queue = bench.join()
    taken = queue.take(20.0) or queue.take(5.0)
    assert taken == request("a")
    queue.close()
