"""A small schema registry on a local port: it speaks Confluent's API, goes down, lies and comes
back."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from streaming.contracts.registered import RegisteredSchema


@dataclass
class RegistryState:
    """What the registry holds, and how it behaves."""

    schemas: dict[int, dict[str, Any]] = field(default_factory=dict)
    """Number → body of the answer; ``serialized`` holds the text in that format."""
    subjects: dict[tuple[str, str], int] = field(default_factory=dict)
    """Subject and version → number."""
    status: int = 200
    """Any other status is the answer to every request."""
    body: bytes | None = None
    """The answer to every request, in place of the right one."""
    encoding: str = ""
    """The encoding that the answers say they have; empty for none."""
    pause: threading.Event | None = None
    """Answers stay open after each byte until it is set, or a tenth of a second has passed."""
    requests: int = 0
    url: str = ""

    def add(self, schema_id: int, text: str, kind: str = "AVRO", **more: Any) -> None:
        """Register a schema."""
        self.schemas[schema_id] = {"schema": text, "schemaType": kind, **more}

    def answer(self, path: str) -> tuple[int, bytes]:
        """Status and body of the answer to a request."""
        self.requests += 1
        if self.status != 200 or self.body is not None:
            return self.status, self.body or b'{"error_code": 50001, "message": "broken"}'
        parts, query = urlsplit(path), parse_qs(urlsplit(path).query)
        names = [unquote(name) for name in parts.path.strip("/").split("/")]
        if names[:2] == ["schemas", "ids"]:
            number: int | None = int(names[2])
        else:
            number = self.subjects.get((names[1], names[3]))
        schema = self.schemas.get(number or 0)
        if schema is None:
            return 404, b'{"error_code": 40403, "message": "Schema not found"}'
        body = {name: value for name, value in schema.items() if name != "serialized"}
        if query.get("format") == ["serialized"]:
            body["schema"] = schema["serialized"]
        if names[0] == "subjects":
            body |= {"subject": names[1], "version": int(names[3]), "id": number}
        return 200, json.dumps(body).encode()


def _parts(body: bytes, pause: threading.Event | None) -> Iterator[bytes]:
    if pause is None:
        yield body
        return
    for byte in body:
        yield bytes([byte])
        pause.wait(0.1)


@contextmanager
def schema_registry() -> Iterator[RegistryState]:
    """A running registry."""
    state = RegistryState()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the library's name
            status, body = state.answer(self.path)
            self.send_response(status)
            self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
            self.send_header("Content-Length", str(len(body)))
            if state.encoding:
                self.send_header("Content-Encoding", state.encoding)
            self.end_headers()
            with suppress(ConnectionError):
                for part in _parts(body, state.pause):
                    self.wfile.write(part)

        def log_message(self, *_: object) -> None:
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class Schemas:
    """A `SchemaSource` in memory."""

    known: dict[int, RegisteredSchema] = field(default_factory=dict)

    def schema(self, schema_id: int) -> RegisteredSchema:
        """See `SchemaSource.schema`."""
        from streaming.contracts.errors import UnavailableError

        if schema_id not in self.known:
            raise UnavailableError(f"Schema {schema_id} cannot be had.")
        return self.known[schema_id]


def wire(schema_id: int, payload: bytes) -> bytes:
    """A value in Confluent's wire format."""
    return b"\0" + schema_id.to_bytes(4, "big") + payload
