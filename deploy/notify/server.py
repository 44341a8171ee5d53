"""The notifier's web application: alerts from Alertmanager, buttons from Slack, metrics."""

from __future__ import annotations

import hmac
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

from deploy.notify.alerts import decode_group
from deploy.notify.buttons import MAX_BODY, Press, PressRefused, read_press
from deploy.notify.channels import NotDelivered, Refused
from deploy.notify.delivery import Deliverer
from deploy.notify.local_receiver import LocalReceiver
from deploy.notify.slack import SlackChannel
from streaming.contracts.errors import PermanentError

MAX_ALERTS = 2_000_000
"""Longest notification of Alertmanager, in bytes."""
log = structlog.get_logger()


@dataclass
class Notifier:
    """What the application works with.

    Parameters
    ----------
    token:
        What Alertmanager sends along.
    slack:
        The channel whose buttons are answered.
    secret:
        Slack's signing secret; empty: presses are refused.
    people:
        Names by Slack's user id, as they are now.
    decide:
        Takes a decision and returns what became of it, in a sentence.
    """

    deliverer: Deliverer
    slack: SlackChannel
    token: str
    secret: str
    people: Callable[[], Mapping[str, str]]
    decide: Callable[[Press], str]
    now: Callable[[], float] = time.time
    deciding: set[threading.Thread] = field(default_factory=set)


def create_app(notifier: Notifier, receiver: LocalReceiver | None = None) -> Starlette:
    """The application; `receiver` takes messages where there is no Slack."""

    async def alerts(request: Request) -> Response:
        given = request.headers.get("authorization", "").encode()
        if not hmac.compare_digest(given, f"Bearer {notifier.token}".encode()):
            return PlainTextResponse("Only Alertmanager may send alerts.", status_code=401)
        body = await _limited(request, MAX_ALERTS)
        if body is None:
            return PlainTextResponse("That is too long.", status_code=413)
        try:
            group = decode_group(body)
        except PermanentError as error:
            return PlainTextResponse(str(error), status_code=400)
        taken = notifier.deliverer.take(group, body)
        return PlainTextResponse(f"taken for {taken} channels")

    async def actions(request: Request) -> Response:
        body = await _limited(request, MAX_BODY)
        if body is None:
            return PlainTextResponse("That is too long.", status_code=413)
        if not notifier.secret:
            return PlainTextResponse("alerts.slack is not configured.", status_code=401)
        press = read_press(
            body,
            secret=notifier.secret,
            timestamp=request.headers.get("x-slack-request-timestamp", ""),
            signature=request.headers.get("x-slack-signature", ""),
            people=notifier.people(),
            history=notifier.deliverer.history,
            now=notifier.now(),
        )
        # Slack wants an answer within three seconds; the daemon may take longer.
        if isinstance(press, Press) or press.message:
            thread = threading.Thread(target=_act, args=(notifier, press), daemon=True)
            notifier.deciding.add(thread)
            thread.start()
        if isinstance(press, PressRefused) and press.status != 200:
            log.warning("press.refused", status=press.status, reason=press.reason)
            return PlainTextResponse(press.reason, status_code=press.status)
        return PlainTextResponse("")

    async def metrics(request: Request) -> Response:
        return Response(notifier.deliverer.exporter.text(), media_type="text/plain; version=0.0.4")

    routes: list[Route | Mount] = [
        Route("/alerts", alerts, methods=["POST"]),
        Route("/slack/actions", actions, methods=["POST"]),
        Route("/metrics", metrics),
    ]
    if receiver is not None:
        routes.append(Mount("/local", routes=receiver.routes()))
    return Starlette(routes=routes)


def _act(notifier: Notifier, press: Press | PressRefused) -> None:
    """Decide, and say in the message's thread what became of it."""
    try:
        text = press.reason if isinstance(press, PressRefused) else notifier.decide(press)
        notifier.slack.say(text, press.message)
    except (NotDelivered, Refused) as error:
        log.warning("press.unsaid", reason=str(error))
    except Exception:
        log.exception("press.failed")
        raise
    finally:
        notifier.deciding.discard(threading.current_thread())


async def _limited(request: Request, longest: int) -> bytes | None:
    """The body; None when it is longer."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > longest:
            return None
        parts.append(part)
    return b"".join(parts)
