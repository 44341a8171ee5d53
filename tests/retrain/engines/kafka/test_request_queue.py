"""The request queue on a real broker: the common suite, dead workers and a long training."""

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

from retrain.engines.kafka.request_queue import KafkaRequestQueue
from streaming.contracts.codec import encode
from streaming.contracts.records import RetrainRequest
from tests.retrain.builders import request
from tests.retrain.request_queue_suite import SUITE, QueueSetup

pytestmark = [
    pytest.mark.engine,
    # kafka-python leaves closing its sockets to the garbage collector when a member is killed
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

ROOT = Path(__file__).resolve().parents[4]

HOLDER = """
import sys
from retrain.engines.kafka.request_queue import KafkaRequestQueue
bootstrap, group, topic = sys.argv[1:]
queue = KafkaRequestQueue(bootstrap, group=group, topic=topic, session_seconds=6.0)
while (request := queue.take(1.0)) is None:
    pass
print(request.record_id, flush=True)
sys.stdin.readline()
print(queue.done(request), flush=True)
"""


class QueueTopic:
    """A topic and a consumer group of one test."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self.topic = self.group = f"requests-{uuid.uuid4().hex[:8]}"
        admin = KafkaAdminClient(bootstrap_servers=bootstrap)
        admin.create_topics([NewTopic(self.topic, num_partitions=1, replication_factor=1)])
        admin.close()
        self.producer = KafkaProducer(bootstrap_servers=bootstrap)

    def put(self, request: RetrainRequest) -> None:
        self.put_raw(encode(request))

    def put_raw(self, value: bytes) -> None:
        self.producer.send(self.topic, value).get(10)

    def join(self, session_seconds: float = 6.0) -> KafkaRequestQueue:
        return KafkaRequestQueue(
            self.bootstrap, group=self.group, topic=self.topic, session_seconds=session_seconds
        )

    def holder(self) -> subprocess.Popen[str]:
        """Another process that holds request a; a line of input makes it call and print `done`."""
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
def topic(bootstrap: str) -> Iterator[QueueTopic]:
    queue_topic = QueueTopic(bootstrap)
    yield queue_topic
    queue_topic.close()


@pytest.mark.parametrize("check", SUITE, ids=lambda check: check.__name__)
def test_the_request_queue_suite(check: Callable[[QueueSetup], None], topic: QueueTopic) -> None:
    check(QueueSetup(put=topic.put, join=topic.join, timeout_seconds=20.0))


def test_the_request_of_a_killed_worker_goes_to_the_next_one(topic: QueueTopic) -> None:
    topic.put(request("a"))
    holder = topic.holder()
    successor = topic.join()
    assert successor.take(3.0) is None, "a live worker keeps its request"
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


def test_a_long_training_outlives_the_session_while_others_join(topic: QueueTopic) -> None:
    topic.put(request("a"))
    topic.put(request("b"))
    busy = topic.join(session_seconds=6.0)
    held = busy.take(20.0)
    assert held == request("a")
    standby = topic.join(session_seconds=6.0)
    after_a_session = time.monotonic() + 9.0
    while time.monotonic() < after_a_session:
        assert standby.take(0.5) is None
    assert busy.done(request("a")), (
        "the group was about to rebalance, but the request was still held"
    )
    following = None
    for _ in range(20):
        following = busy.take(1.0) or standby.take(1.0)
        if following is not None:
            break
    assert following == request("b")
    busy.close()
    standby.close()


def test_a_stopped_worker_that_resumes_has_lost_its_request(topic: QueueTopic) -> None:
    topic.put(request("a"))
    holder = topic.holder()
    os.kill(holder.pid, signal.SIGSTOP)
    try:
        successor = topic.join()
        taken, deadline = None, time.monotonic() + 40
        while taken is None and time.monotonic() < deadline:
            taken = successor.take(1.0)
        assert taken == request("a")
        assert successor.done(request("a"))
        os.kill(holder.pid, signal.SIGCONT)
        output, _ = holder.communicate("\n", timeout=60)
        assert output.split()[-1] == "False"
        assert successor.take(2.0) is None
        successor.close()
    finally:
        holder.kill()
        holder.wait()


def test_an_unreadable_request_is_skipped(topic: QueueTopic) -> None:
    topic.put_raw(b"nonsense")
    topic.put(request("a"))
    queue = topic.join()
    taken = queue.take(20.0) or queue.take(5.0)
    assert taken == request("a")
    queue.close()
