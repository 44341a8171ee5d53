"""The chain of records behind a version, and the answer to a command."""

from __future__ import annotations

import threading
import time

import pytest

from deploy.records import commands, reader
from streaming.contracts import topics
from streaming.contracts.codec import decode_as
from streaming.contracts.errors import NotFoundError, UnavailableError
from streaming.contracts.log import MemoryLog
from streaming.contracts.records import (
    Artifact,
    Command,
    CommandReply,
    DriftVerdict,
    Promotion,
    RetrainRequest,
)


def filled() -> MemoryLog:
    log = MemoryLog()
    log.ensure(topics.RECORD_TOPICS)
    verdict = DriftVerdict(
        record_id="verdict-1",
        model="m",
        at=1.0,
        window_start=0.0,
        window_end=1.0,
        outcome="drifted",
        reason="fare moved by 0.8 sd",
        rows=1,
        offsets=(),
        reference_id="",
        reference_version=1,
        features=(),
    )
    request = RetrainRequest(
        record_id="request-1",
        model="m",
        at=2.0,
        caused_by=("verdict-1",),
        cause="drift",
        reason="3 of 5",
        events=(),
        labels=(),
        window_start=0.0,
        window_end=1.0,
        base_version=1,
        deadline=9.0,
    )
    promotion = Promotion(
        record_id="promotion-1",
        model="m",
        at=3.0,
        caused_by=("request-1",),
        version=2,
        replaced=1,
        change="promoted",
        reason="every gate passed",
        artifact=Artifact(uri="file:///x", digest="d"),
        reference=None,
        window_start=0.0,
        window_end=1.0,
    )
    log.append([verdict, request, promotion, promotion])
    return log


def test_a_version_is_traced_back_to_its_window() -> None:
    link = reader.trace(filled(), "2", "m")
    assert isinstance(link.record, Promotion)
    assert [type(cause.record) for cause in link.causes] == [RetrainRequest]
    (verdict,) = link.causes[0].causes
    assert reader.sentence(verdict.record) == "window 0–1 drifted: fare moved by 0.8 sd"


def test_a_repeated_id_is_read_once() -> None:
    assert len(reader.records(filled(), Promotion)) == 1


def test_an_unknown_id_says_what_to_do() -> None:
    with pytest.raises(NotFoundError, match="driftline versions"):
        reader.trace(filled(), "nothing")


def test_a_command_gets_its_own_answer() -> None:
    log = filled()
    wanted = commands.command("m", "retrain", "because", at=5.0)

    def daemon() -> None:
        for message in log.follow([topics.COMMANDS.name], from_start=True):
            if message is None or message.value is None:
                time.sleep(0.01)
                continue
            asked = decode_as(message.value, Command)
            log.append(
                [
                    CommandReply(
                        record_id="x", model="m", at=6.0, to="other", accepted=True, reason=""
                    ),
                    CommandReply(
                        record_id="y",
                        model="m",
                        at=6.0,
                        to=asked.record_id,
                        accepted=False,
                        reason="no",
                    ),
                ]
            )
            return

    thread = threading.Thread(target=daemon)
    thread.start()
    answer = commands.ask(log, wanted, timeout=10)
    thread.join()
    assert (answer.accepted, answer.reason) == (False, "no")


def test_silence_is_an_error_that_names_the_daemon() -> None:
    with pytest.raises(UnavailableError, match="daemon"):
        commands.ask(filled(), commands.command("m", "pause", "x", at=1.0), timeout=0.05)
