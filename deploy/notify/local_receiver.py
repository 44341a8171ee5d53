"""Takes the messages that Slack would get, where no Slack is configured.

It speaks the part of Slack's API that the notifier uses, over HTTP, and refuses what Slack would
refuse: a wrong token, an unknown channel, blocks of another structure. `driftline alerts messages`
shows what it took.
"""

from __future__ import annotations

import hmac
import itertools
import json
import time
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from deploy.notify.history import History

PLACE = "C0LOCAL"
"""Id of its channel."""
MAX_UPLOAD = 5_000_000
_TYPES = frozenset({"header", "section", "context", "input", "actions"})
_TEXTS = frozenset({"plain_text", "mrkdwn"})


class LocalReceiver:
    """The receiver's routes, to be mounted in a web application.

    Parameters
    ----------
    token:
        What requests must carry.
    address:
        Its own address, for uploads; without a slash at its end.
    """

    def __init__(self, history: History, *, token: str, address: str) -> None:
        self._history, self._token, self._address = history, token, address
        self._numbers = itertools.count(1)
        self._files: dict[str, int] = {}

    def routes(self) -> list[Route]:
        """Its routes."""
        return [
            Route("/api/chat.postMessage", self._post_message, methods=["POST"]),
            Route("/api/files.getUploadURLExternal", self._upload_url, methods=["GET", "POST"]),
            Route("/upload/{file}", self._upload, methods=["POST"]),
            Route("/api/files.completeUploadExternal", self._complete, methods=["POST"]),
        ]

    async def _post_message(self, request: Request) -> Response:
        values = await self._values(request)
        if values is None:
            return _error("invalid_auth")
        if values.get("channel") != PLACE:
            return _error("channel_not_found")
        problem = problem_of(values.get("blocks") or [])
        if problem or not str(values.get("text", "")):
            return _error("invalid_blocks", problem or "text is empty")
        at = time.time()
        message = f"{int(at)}.{next(self._numbers):06d}"
        body = json.dumps({"text": values["text"], "blocks": values.get("blocks") or []})
        self._history.keep_message(message, str(values.get("thread_ts") or ""), at, body)
        return JSONResponse({"ok": True, "ts": message, "channel": PLACE})

    async def _upload_url(self, request: Request) -> Response:
        values = await self._values(request)
        if values is None:
            return _error("invalid_auth")
        file = f"F{next(self._numbers):08d}"
        self._files[file] = 0
        url = f"{self._address}/upload/{file}"
        return JSONResponse({"ok": True, "file_id": file, "upload_url": url})

    async def _upload(self, request: Request) -> Response:
        file = request.path_params["file"]
        if file not in self._files:
            return PlainTextResponse("unknown file", status_code=404)
        size = 0
        async for part in request.stream():
            size += len(part)
            if size > MAX_UPLOAD:
                return PlainTextResponse("too large", status_code=413)
        self._files[file] = size
        return PlainTextResponse(f"OK - {size}")

    async def _complete(self, request: Request) -> Response:
        values = await self._values(request)
        if values is None:
            return _error("invalid_auth")
        files = values.get("files")
        listed = json.loads(files) if isinstance(files, str) else files or []
        sizes = [self._files.pop(str(entry.get("id")), 0) for entry in listed]
        if not sizes or not all(sizes):
            return _error("file_not_found")
        at = time.time()
        message = f"{int(at)}.{next(self._numbers):06d}"
        body = json.dumps({"text": f"picture, {sum(sizes)} bytes", "blocks": []})
        self._history.keep_message(message, str(values.get("thread_ts") or ""), at, body)
        return JSONResponse({"ok": True, "files": [{"id": e.get("id")} for e in listed]})

    async def _values(self, request: Request) -> dict[str, Any] | None:
        """What was sent, as JSON, form or query; None with a wrong token."""
        given = request.headers.get("authorization", "").encode()
        if not hmac.compare_digest(given, f"Bearer {self._token}".encode()):
            return None
        if "json" in request.headers.get("content-type", ""):
            values = json.loads(await request.body())
            return values if isinstance(values, dict) else {}
        return {**request.query_params, **(await request.form())}


def problem_of(blocks: Any) -> str:
    """What Slack would not take in these blocks; empty when it takes them.

    >>> problem_of([{"type": "header", "text": {"type": "plain_text", "text": "x" * 151}}])
    'block 0: header longer than 150 characters'
    """
    if not isinstance(blocks, list) or len(blocks) > 50:
        return "not a list of at most 50 blocks"
    for number, block in enumerate(blocks):
        problem = _problem(block)
        if problem:
            return f"block {number}: {problem}"
    return ""


def _problem(block: Any) -> str:
    if not isinstance(block, dict) or block.get("type") not in _TYPES:
        return "unknown type"
    match block["type"]:
        case "header":
            return _text_problem(block.get("text"), 150, "header", ("plain_text",))
        case "section":
            fields = block.get("fields") or []
            if len(fields) > 10:
                return "more than 10 fields"
            problems = [_text_problem(block.get("text"), 3000, "section")]
            problems += [_text_problem(entry, 2000, "field") for entry in fields]
            return next(filter(None, problems), "")
        case "context":
            elements = block.get("elements") or []
            if not 1 <= len(elements) <= 10:
                return "1 to 10 elements"
            return next(filter(None, (_text_problem(e, 3000, "context") for e in elements)), "")
        case "actions":
            elements = block.get("elements") or []
            return next(filter(None, map(_button_problem, elements)), "" if elements else "empty")
        case _:
            element = block.get("element") or {}
            known = element.get("type") == "plain_text_input"
            return "" if known and element.get("action_id") else "an input without its element"


def _button_problem(button: Any) -> str:
    if not isinstance(button, dict) or button.get("type") != "button":
        return "no button"
    if not button.get("action_id") or len(str(button.get("value", ""))) > 2000:
        return "a button without action, or with a value longer than 2,000 characters"
    return _text_problem(button.get("text"), 75, "button", ("plain_text",))


def _text_problem(
    text: Any, longest: int, name: str, kinds: tuple[str, ...] = tuple(sorted(_TEXTS))
) -> str:
    if not isinstance(text, dict) or text.get("type") not in kinds or not text.get("text"):
        return f"{name} without text"
    return f"{name} longer than {longest} characters" if len(text["text"]) > longest else ""


def _error(code: str, detail: str = "") -> JSONResponse:
    return JSONResponse({"ok": False, "error": code, "detail": detail})
