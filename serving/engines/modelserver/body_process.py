"""The process that parses large bodies: ``python -m ….body_process FILE_DESCRIPTOR``; see `bodies`.

Each question has two messages, its kind and its content: ``body`` with a body, answered with its
signature and format; ``codes`` with the types of the inputs as JSON, answered with the arrays of
the last body; ``examples``, answered with its serialized examples. Nothing that a client sent is
unpickled.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from multiprocessing.connection import Connection
from typing import Any

import orjson

from serving.engines.modelserver import examples, rows
from serving.engines.modelserver.body_messages import TOO_MUCH, Refusal, packed
from serving.engines.modelserver.codes import Refused

MEMORY_BYTES = 4 << 30
_LOW_PRIORITY = 10


def main(descriptor: int) -> None:
    """Answer until the connection is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(_LOW_PRIORITY)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    connection = Connection(descriptor)
    body = rows.Body("", {}, booleans=False)
    try:
        while True:
            kind, content = connection.recv_bytes(), connection.recv_bytes()
            try:
                if kind == b"body":
                    body = rows.parse(content)
                    answer: Any = body.signature, body.by_row
                elif kind == b"codes":
                    answer = packed(rows.to_arrays(body, orjson.loads(content)))
                else:
                    answer = examples.read_examples(body).SerializeToString()
            except Refused as refused:
                answer = Refusal(refused.code, refused.message)
            except MemoryError:
                answer = TOO_MUCH
            connection.send(answer)
    except (EOFError, OSError):
        return  # the server has ended


if __name__ == "__main__":
    main(int(sys.argv[1]))
