"""A replay waits for a broker that restarts, and ends when it was taken down."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from deploy.local.process_spec import ProcessSpec
from deploy.local.supervisor import desired_file, is_wanted
from deploy.project.broker_wait import LIMIT_SECONDS, BrokerWait
from deploy.project.replay_rows import Row
from deploy.project.replay_sender import ReplaySender
from deploy.project.replay_writers import replay_writers
from streaming.contracts.errors import UnavailableError
from streaming.contracts.model import ModelContract

CONTRACT = ModelContract(
    model="churn", module="", events_topic="e", labels_topic="l", key="id", time="at"
)
ROW = Row(0, "0.a", {}, {"churned": 1})


@dataclass
class Broker:
    """A producer whose broker takes as many messages with each look as `takes` says."""

    takes: list[int]
    queue: int = 0
    room: int = 1_000
    looks: int = 0
    callbacks: list[Any] = field(default_factory=list)

    def produce(self, topic: str, value: bytes, key: str, on_delivery: Any = None) -> None:
        if self.queue >= self.room:
            raise BufferError
        self.queue += 1

    def poll(self, timeout: float) -> int:
        before = self.queue
        self.flush(timeout)
        return before - self.queue

    def flush(self, timeout: float) -> int:
        self.looks += 1
        self.queue -= min(self.queue, self.takes.pop(0) if self.takes else 0)
        return self.queue

    def __len__(self) -> int:
        return self.queue


def sender_of(broker: Broker, wait: BrokerWait | None = None, rows: int = 3) -> ReplaySender:
    writers = replay_writers(CONTRACT, [], lambda subject, schema: 0)
    sender = ReplaySender(broker, CONTRACT, writers, 0.0, wait=wait or BrokerWait())
    for _ in range(rows):
        sender.send_event(ROW, 1.0)
    return sender


def test_messages_that_wait_are_sent_once_the_broker_is_back() -> None:
    broker = Broker(takes=[0, 0, 2, 0, 1])
    sender_of(broker).flush()
    assert (broker.queue, broker.looks) == (0, 5)


def test_a_stack_that_was_taken_down_ends_it_at_the_first_look() -> None:
    broker = Broker(takes=[])
    with pytest.raises(UnavailableError, match=r"taken down.* 3 message.*`driftline up`.*goes on"):
        sender_of(broker, BrokerWait(is_down=lambda: True)).flush()
    assert broker.looks == 1


def test_a_full_queue_ends_it_as_well() -> None:
    broker = Broker(takes=[], room=3)
    with pytest.raises(UnavailableError, match="taken down"):
        sender_of(broker, BrokerWait(is_down=lambda: True), rows=4)
    broker = Broker(takes=[1], room=3)
    sender_of(broker, BrokerWait(is_down=lambda: True), rows=4)  # it takes messages, so it is there
    assert broker.queue == 3


def test_it_says_once_that_it_waits_and_once_that_it_goes_on() -> None:
    messages: list[str] = []
    wait = BrokerWait(say=messages.append)
    for seconds in (1.0, 4.0, 5.0):
        wait.check(seconds=seconds, messages=9)
    wait.over()
    wait.over()
    assert [text.split(";")[0] for text in messages] == [
        "Kafka takes no messages",
        "Kafka takes messages again.",
    ]


def test_it_does_not_wait_for_ever_and_less_when_the_user_has_ended_it() -> None:
    wait = BrokerWait()
    wait.check(seconds=LIMIT_SECONDS - 1.0, messages=9)
    with pytest.raises(UnavailableError, match=r"9 message.* 60 s.*`driftline status`"):
        wait.check(seconds=LIMIT_SECONDS, messages=9)
    wait.stopping = True
    with pytest.raises(UnavailableError, match="4 s"):
        wait.check(seconds=4.0, messages=9)


def test_a_stack_is_wanted_from_its_start_until_it_is_taken_down(tmp_path: Path) -> None:
    assert not is_wanted(tmp_path, "kafka")
    file = desired_file(tmp_path)
    file.parent.mkdir(parents=True)
    kafka = ProcessSpec(name="kafka", argv=("java",))
    file.write_bytes(msgspec.json.encode((kafka,)))
    assert (is_wanted(tmp_path, "kafka"), is_wanted(tmp_path, "envoy")) == (True, False)
    file.write_text("[")
    assert is_wanted(tmp_path, "kafka")  # nothing is concluded from what cannot be read
    file.write_bytes(msgspec.json.encode(()))
    assert not is_wanted(tmp_path, "kafka")
