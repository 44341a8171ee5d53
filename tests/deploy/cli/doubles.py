"""Doubles for the commands: a daemon that replies, and HTTP servers with fixed answers."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from streaming.contracts import topics
from streaming.contracts.codec import decode_as
from streaming.contracts.log import MemoryLog
from streaming.contracts.records import Command, CommandReply

HOSTILE = (r"[/x]", r"[red]", r"\[", "[bold]")
"""Text that Rich's markup would swallow, restyle or refuse."""
HOSTILE_TEXT = " ".join(HOSTILE)


@dataclass
class ReplyingDaemon:
    """Replies to every command on the log."""

    log: MemoryLog
    accepted: bool = True
    reason: str = "as you wish"
    result_id: str = ""
    commands: list[Command] = field(default_factory=list)

    def _serve(self, stop: threading.Event) -> None:
        for message in self.log.follow([topics.COMMANDS.name], from_start=True):
            if stop.is_set():
                return
            if message is None or message.value is None:
                time.sleep(0.005)
                continue
            command = decode_as(message.value, Command)
            self.commands.append(command)
            reply = CommandReply(
                record_id=f"reply-{command.record_id}",
                model=command.model,
                at=command.at,
                command_id=command.record_id,
                accepted=self.accepted,
                reason=self.reason,
                result_id=self.result_id,
            )
            self.log.append([reply])


@contextmanager
def replying(
    log: MemoryLog, *, accepted: bool = True, reason: str = "as you wish", result_id: str = ""
) -> Iterator[ReplyingDaemon]:
    """A daemon for the length of a `with`."""
    log.ensure(topics.RECORD_TOPICS)
    daemon, stop = ReplyingDaemon(log, accepted, reason, result_id), threading.Event()
    thread = threading.Thread(target=daemon._serve, args=(stop,))
    thread.start()
    try:
        yield daemon
    finally:
        stop.set()
        thread.join()


Answer = Callable[[str, str, Any], tuple[int, Any]]
"""Status and JSON body for a method, a path and a JSON body."""


@contextmanager
def http_server(answer: Answer) -> Iterator[str]:
    """A server on a free port of 127.0.0.1; gives its URL."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            status, content = answer(self.command, self.path, body)
            payload = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        do_GET = do_POST = do_PATCH = _answer

        def log_message(self, format: str, *args: object) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
