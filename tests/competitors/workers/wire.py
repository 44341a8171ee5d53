"""Messages between a client and a worker: a JSON line, then its arrays as one npz of known length.

Both sides use this file, so it needs the standard library and numpy only.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

import numpy as np

Arrays = Mapping[str, np.ndarray[Any, Any]]
Message = tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]


def send(pipe: BinaryIO, head: Mapping[str, Any], arrays: Arrays) -> None:
    """Write one message."""
    body = b""
    if arrays:
        packed = io.BytesIO()
        plain = {name: np.asarray(array) for name, array in arrays.items()}
        np.savez(packed, allow_pickle=False, **plain)
        body = packed.getvalue()
    pipe.write(json.dumps({**head, "bytes": len(body)}).encode() + b"\n")
    pipe.write(body)
    pipe.flush()


def receive(pipe: BinaryIO) -> Message | None:
    """The next message; None at the end.

    >>> pipe = io.BytesIO()
    >>> send(pipe, {"action": "sum"}, {"values": np.arange(3)})
    >>> _ = pipe.seek(0)
    >>> head, arrays = receive(pipe) or ({}, {})
    >>> head["action"], arrays["values"].tolist(), receive(pipe)
    ('sum', [0, 1, 2], None)
    """
    line = pipe.readline()
    if not line:
        return None
    head = json.loads(line)
    size = head.pop("bytes")
    if not size:
        return head, {}
    with np.load(io.BytesIO(pipe.read(size)), allow_pickle=False) as packed:
        return head, {name: packed[name] for name in packed.files}


def serve(respond: Callable[[dict[str, Any], dict[str, np.ndarray[Any, Any]]], Message]) -> None:
    """Respond to every message on stdin until it ends; output of the competitor goes to stderr."""
    out, sys.stdout = sys.stdout.buffer, sys.stderr
    while (request := receive(sys.stdin.buffer)) is not None:
        head, arrays = respond(*request)
        send(out, head, arrays)
