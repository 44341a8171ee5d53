"""The schema registry of the demonstration, and how a schema gets its number.

Where a registry answers at `registry.url`, that one is used. Where none does and the address is
this machine's, the traffic process serves one of its own there: it speaks the part of Confluent's
API that producers and readers use, and forgets its schemas when it ends.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from streaming.contracts.errors import UnavailableError
from streaming.contracts.registered import RegistryAddress

LOOPBACK = ("127.0.0.1", "localhost")
_CONTENT = "application/vnd.schemaregistry.v1+json"
_NOT_FOUND = b'{"error_code": 40403, "message": "Schema not found"}'


@dataclass(slots=True)
class RegisteredTexts:
    """Schemas by number; the same text always gets the same one.

    >>> texts = RegisteredTexts()
    >>> texts.number("a"), texts.number("b"), texts.number("a"), texts.text(2), texts.text(3)
    (1, 2, 1, 'b', None)
    """

    _texts: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def number(self, text: str) -> int:
        """The number of a schema, a new one where it has none yet."""
        with self._lock:
            if text not in self._texts:
                self._texts.append(text)
            return self._texts.index(text) + 1

    def text(self, number: int) -> str | None:
        """The schema of a number."""
        return self._texts[number - 1] if 0 < number <= len(self._texts) else None


def serve_registry(port: int) -> ThreadingHTTPServer:
    """Serve an empty registry on this machine until `shutdown` of what is returned."""
    texts = RegisteredTexts()

    class Handler(BaseHTTPRequestHandler):
        """Answers requests of Confluent's clients."""

        def do_GET(self) -> None:
            names = urlsplit(self.path).path.strip("/").split("/")
            number = names[-1] if names[:2] == ["schemas", "ids"] else ""
            text = texts.text(int(number)) if number.isdigit() else None
            if text is None:
                self._send(404, _NOT_FOUND)
            else:
                self._send(200, json.dumps({"schema": text}).encode())

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            self._send(200, json.dumps({"id": texts.number(body["schema"])}).encode())

        def _send(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", _CONTENT)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words: object) -> None:
            return None

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def register(address: RegistryAddress, subject: str, text: str) -> int:
    """The number of an Avro schema, which the registry gives.

    Raises
    ------
    UnavailableError
        When the registry does not answer, or refuses the schema.
    """
    from streaming.engines.registry import register_schema

    host = urlsplit(address.url)
    try:
        return register_schema(address, subject, text)
    except UnavailableError:
        if host.hostname not in LOOPBACK or not host.port:
            raise
    try:
        serve_registry(host.port)
    except OSError as error:
        raise UnavailableError(
            f"Port {host.port} of registry.url is taken by a program that is no registry."
        ) from error
    return register_schema(address, subject, text)
