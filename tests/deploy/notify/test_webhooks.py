"""Webhooks: signed, to allowed hosts and addresses only, no redirects; retries are counted."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from deploy.notify import webhooks
from deploy.notify.delivery import Deliverer
from deploy.notify.history import History
from deploy.notify.webhooks import CheckedBackend, WebhookChannel, may_connect, networks
from tests.deploy.notify.groups import body, group, served

SECRET = b"webhook-secret"
LOCAL = networks(["127.0.0.0/8"])


class Target:
    """Keeps what it gets, and answers as it is told."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.statuses: list[int] = []

    async def hook(self, request: Request) -> Response:
        self.got.append((dict(request.headers), await request.body()))
        status = self.statuses.pop(0) if self.statuses else 200
        if status == 302:
            return RedirectResponse("/other", status_code=302)
        return Response(status_code=status)


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    kept = History(tmp_path / "history.sqlite")
    yield kept
    kept.close()


@pytest.fixture
def target() -> Iterator[tuple[Target, str]]:
    target = Target()
    app = Starlette(
        routes=[Route(path, target.hook, methods=["POST"]) for path in ("/hook", "/other")]
    )
    with served(app) as address:
        yield target, f"{address}/hook"


def webhook(
    url: str,
    *,
    hosts: Sequence[str] = ("127.0.0.1",),
    backend: CheckedBackend | None = None,
) -> WebhookChannel:
    return WebhookChannel(
        name="pager",
        url=url,
        secret=SECRET,
        severities=("page",),
        hosts=frozenset(hosts),
        backend=backend or CheckedBackend(LOCAL),
        now=lambda: 1000.5,
    )


def outcome(history: History, channel: WebhookChannel) -> tuple[str, str]:
    deliverer = Deliverer([channel], history)
    assert deliverer.take(group(), body()) == 1
    deliverer.step()
    entry = history.newest(1)[0]
    return entry.outcome, entry.detail


def test_the_body_is_signed_and_says_everything(
    target: tuple[Target, str], history: History
) -> None:
    receiver, url = target
    assert outcome(history, webhook(url)) == ("delivered", "answered 200")
    ((headers, content),) = receiver.got
    expected = hmac.new(SECRET, b"v1:1000:" + content, hashlib.sha256).hexdigest()
    assert headers["x-driftline-signature"] == f"v1={expected}"
    assert headers["x-driftline-timestamp"] == "1000"
    assert headers["x-driftline-delivery"] == history.newest(1)[0].id
    (alert,) = json.loads(content)["alerts"]
    assert alert["value"] == "3 windows"
    assert alert["feature"] == "fare, tip"
    assert alert["version"] == "4"


def test_severities_are_chosen() -> None:
    channel = webhook("http://127.0.0.1/")
    assert channel.wants(group())
    assert not channel.wants(group(severity="ticket"))


@pytest.mark.parametrize(
    "url",
    [
        "http://evil.example/hook", "http://127.0.0.1.evil.example/hook", "http://[::1]/hook",
        "http://127.0.0.1@evil.example/hook", "http://user@127.0.0.1/hook",
    ],
)  # fmt: skip
def test_other_hosts_are_refused(url: str, history: History) -> None:
    result, detail = outcome(history, webhook(url))
    assert result == "refused"
    assert "webhook_hosts" in detail


def test_a_name_that_resolves_elsewhere_is_not_connected_to(
    target: tuple[Target, str], history: History
) -> None:
    """The name is allowed; its address is the one of this machine, as with DNS rebinding."""
    receiver, url = target
    port = urlsplit(url).port
    answers = {
        "rebound.example": ["93.184.216.34", "127.0.0.1"],
        "cloud.example": ["169.254.169.254"],
    }
    for host, addresses in answers.items():
        backend = CheckedBackend((), resolve=lambda name, port, found=addresses: found)  # type: ignore[misc]
        channel = webhook(f"http://{host}:{port}/hook", hosts=[host], backend=backend)
        result, detail = outcome(history, channel)
        assert result == "refused"
        assert "may connect to" in detail
    assert receiver.got == []


def test_the_address_that_was_checked_is_the_one_that_is_used(
    target: tuple[Target, str], history: History
) -> None:
    receiver, url = target
    resolved: list[str] = []

    def resolve(host: str, port: int) -> list[str]:
        resolved.append(host)
        return ["127.0.0.1"] if len(resolved) == 1 else ["169.254.169.254"]

    port = urlsplit(url).port
    channel = webhook(
        f"http://pager.example:{port}/hook",
        hosts=["pager.example"],
        backend=CheckedBackend(LOCAL, resolve=resolve),
    )
    assert outcome(history, channel)[0] == "delivered"
    assert resolved == ["pager.example"]
    assert receiver.got[0][0]["host"] == f"pager.example:{port}"


def test_redirects_are_not_followed(target: tuple[Target, str], history: History) -> None:
    receiver, url = target
    receiver.statuses = [302]
    result, detail = outcome(history, webhook(url))
    assert (result, len(receiver.got)) == ("refused", 1)
    assert "redirects" in detail


def test_errors_are_tried_again_and_each_attempt_is_counted(
    target: tuple[Target, str], history: History
) -> None:
    receiver, url = target
    receiver.statuses = [503, 429, 200]
    clock = [0.0]
    deliverer = Deliverer([webhook(url)], history, now=lambda: clock[0])
    deliverer.take(group(), body())
    while history.newest(1)[0].outcome == "waiting":
        deliverer.step()
        clock[0] += 60.0
    assert (history.newest(1)[0].outcome, history.newest(1)[0].attempts) == ("delivered", 3)
    assert len({headers["x-driftline-delivery"] for headers, _ in receiver.got}) == 1


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0", "10.0.0.1", "100.64.0.1", "127.0.0.1", "169.254.169.254", "172.16.0.1",
        "192.168.1.1", "224.0.0.1", "255.255.255.255", "::", "::1", "fe80::1%eth0", "fc00::1",
        "::ffff:10.0.0.1", "ff02::1", "64:ff9b:1::1", "::127.0.0.1", "fec0::1", "240.0.0.1",
    ],
)  # fmt: skip
def test_private_addresses_need_a_network_in_the_settings(address: str) -> None:
    assert not may_connect(address, ())


@contextmanager
def answering_for_ever(begin: bytes, then: bytes) -> Iterator[str]:
    """A receiver that begins its answer and then sends the same bytes again and again."""
    ended = threading.Event()

    def answer(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection, suppress(OSError):
            connection.recv(65536)
            connection.sendall(begin)
            while not ended.wait(0.05):
                connection.sendall(then)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=answer, args=(listening,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/hook"
        finally:
            ended.set()
            thread.join()


def test_an_endless_body_is_not_read(history: History) -> None:
    with answering_for_ever(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 4096) as url:
        assert outcome(history, webhook(url)) == ("delivered", "answered 200")


def test_an_endless_head_is_given_up(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte now and then passes every limit on single reads, and would hold up all alerts."""
    monkeypatch.setattr(webhooks, "WHOLE_SECONDS", 1.0)
    with answering_for_ever(b"HTTP/1.1 200 OK\r\nx-a: ", b"a") as url:
        result, detail = outcome(history, webhook(url))
    assert result == "waiting"
    assert "cannot be reached" in detail
