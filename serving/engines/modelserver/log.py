"""One JSON object a line on standard error: what happened, when, to which role."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Any

import orjson

_common: dict[str, Any] = {}


def always(**fields: Any) -> None:
    """Fields that every later line carries (the role, the model)."""
    _common.update(fields)


def say(event: str, **fields: Any) -> None:
    """Write one line."""
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    line = orjson.dumps({"at": at, "event": event, **_common, **fields}, default=str)
    sys.stderr.buffer.write(line + b"\n")
    sys.stderr.buffer.flush()
