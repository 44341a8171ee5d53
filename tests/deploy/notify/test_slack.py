"""One thread for each cause, over real HTTP, with a receiver that refuses what Slack refuses."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from slack_sdk import WebClient
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from deploy.notify.delivery import Deliverer
from deploy.notify.history import History
from deploy.notify.local_receiver import PLACE, LocalReceiver
from deploy.notify.slack import Picture, SlackChannel
from tests.deploy.notify.groups import body, group, served


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    kept = History(tmp_path / "history.sqlite")
    yield kept
    kept.close()


@pytest.fixture
def address(history: History) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
    receiver = LocalReceiver(history, token="right", address="")
    with served(Starlette(routes=[Mount("/local", routes=receiver.routes())])) as address:
        receiver._address = f"{address}/local"
        yield f"{address}/local/api/"


def channel(
    history: History, address: str, token: str = "right", place: str = PLACE
) -> SlackChannel:
    return SlackChannel(
        name="slack",
        client=WebClient(token=token, base_url=address, timeout=5),
        place=place,
        history=history,
        picture=lambda group: Picture(b"\x89PNG" + bytes(2000), "the fare has moved"),
    )


def sent(deliverer: Deliverer, *bodies: bytes) -> list[str]:
    for content in bodies:
        from deploy.notify.alerts import decode_group

        deliverer.take(decode_group(content), content)
        deliverer.step()
    return [entry.outcome for entry in deliverer.history.newest(len(bodies))]


def test_one_cause_has_one_thread_until_it_is_resolved(history: History, address: str) -> None:
    deliverer = Deliverer([channel(history, address)], history)
    outcomes = sent(
        deliverer,
        body(),
        body("serving"),
        body(value="5 windows"),
        body(status="resolved"),
        body(),
    )
    assert outcomes == ["delivered"] * 5
    messages = history.messages(20)[::-1]
    opened = [message for message, thread, _, text in messages if not thread]
    assert len(opened) == 3  # drift, serving, and drift again
    replies = [
        (opened.index(thread), json.loads(text)["text"])
        for _, thread, _, text in messages
        if thread
    ]
    assert replies == [
        (0, "picture, 2004 bytes"),
        (1, "picture, 2004 bytes"),
        (0, "drift: big_tipper (page)"),
        (0, "drift: big_tipper (resolved)"),
        (2, "picture, 2004 bytes"),
    ]


def test_what_ended_before_it_was_told_is_not_told(history: History, address: str) -> None:
    assert sent(Deliverer([channel(history, address)], history), body(status="resolved")) == [
        "delivered"
    ]
    assert history.messages(5) == []


@pytest.mark.parametrize(("token", "place"), [("wrong", PLACE), ("right", "C0OTHER")])
def test_what_slack_refuses_for_good_is_not_tried_again(
    history: History, address: str, token: str, place: str
) -> None:
    deliverer = Deliverer([channel(history, address, token, place)], history)
    assert sent(deliverer, body()) == ["refused"]
    assert b'channel="slack",outcome="failed"} 1.0' in deliverer.exporter.text()


def test_what_does_not_arrive_is_tried_again_in_its_order(history: History) -> None:
    clock = [1000.0]
    answers = [("ratelimited", 429), ("internal_error", 500), ("", 200)]

    async def post(request: Request) -> Response:
        error, status = answers.pop(0) if len(answers) > 1 else answers[0]
        reply = {"ok": not error, "error": error, "ts": "1.1"}
        return JSONResponse(reply, status_code=status, headers={"Retry-After": "40"})

    with served(Starlette(routes=[Route("/chat.postMessage", post, methods=["POST"])])) as address:
        slack = channel(history, f"{address}/")
        slack.picture = lambda group: None
        deliverer = Deliverer([slack], history, now=lambda: clock[0])
        first, second = body(), body("serving")
        deliverer.take(group(), first)
        deliverer.take(group("serving"), second)
        deliverer.step()
        assert [entry.attempts for entry in history.newest(2)] == [0, 1]
        clock[0] += 39.0
        assert deliverer.step() == 0  # Slack asked for forty seconds
        clock[0] += 1.0
        for _ in range(6):
            deliverer.step()
            clock[0] += 60.0
    assert {entry.outcome for entry in history.newest(2)} == {"delivered"}
    assert [entry.attempts for entry in history.newest(2)] == [1, 3]


def test_a_notifier_that_was_killed_goes_on(tmp_path: Path) -> None:
    before = History(tmp_path / "h.sqlite")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{closed.getsockname()[1]}/"
    clock = [1000.0]
    deliverer = Deliverer([channel(before, nobody)], before, now=lambda: clock[0])
    deliverer.take(group(), body())
    deliverer.step()
    assert before.newest(1)[0].outcome == "waiting"
    after = History(tmp_path / "h.sqlite")  # the first one is not closed, as after kill -9
    clock[0] += 3.0
    receiver = LocalReceiver(after, token="right", address="")
    with served(Starlette(routes=[Mount("/local", routes=receiver.routes())])) as address:
        again = channel(after, f"{address}/local/api/")
        again.picture = lambda group: None
        assert Deliverer([again], after, now=lambda: clock[0]).step() == 1
    assert after.newest(1)[0].outcome == "delivered"
    before.close()
    after.close()


def test_a_receiver_that_never_answers_is_given_up(history: History) -> None:
    clock = [0.0]
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{closed.getsockname()[1]}/"
    deliverer = Deliverer([channel(history, nobody)], history, now=lambda: clock[0])
    deliverer.take(group(), body())
    while history.newest(1)[0].outcome == "waiting":
        clock[0] += 1000.0
        deliverer.step()
    last = history.newest(1)[0]
    assert (last.outcome, last.attempts) == ("failed", 8)
    assert "cannot be reached" in last.detail
