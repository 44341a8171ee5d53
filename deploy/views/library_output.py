"""Keeps the output of libraries off the screen: the screen shows only what Driftline writes.

`apply_filters` drops known messages of third-party modules that no user can act on. Each filter
names its module, so warnings of Driftline's own code and of a user's model code stay visible.
`redirect_to` is for commands with a screen: until it ends, whatever a library or a child process
writes to the process's stderr goes to a log file instead.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class WarningFilter:
    """A category of Python warnings of one third-party module that is dropped."""

    category: type[Warning]
    module: str
    """Regular expression that the module's name must match from its beginning."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageFilter:
    """A log message of one logger that is dropped."""

    logger: str
    """Name of the logger; empty for the root logger."""
    prefix: str
    reason: str


WARNING_FILTERS = (
    WarningFilter(
        category=FutureWarning,
        module=r"google\.(api_core|auth|cloud|pubsub)",
        reason="Google Cloud clients announce the end of support for grpcio < 1.83. Beam imports "
        "them, Driftline does not use them, and the lock pins grpcio for TFX.",
    ),
    WarningFilter(
        category=DeprecationWarning,
        module=r"(apache_beam|httplib2|google|pkg_resources|tensorflow|tfx|keras)(\.|$)",
        reason="Concerns how these libraries use Python and each other.",
    ),
)
MESSAGE_FILTERS = (
    MessageFilter(
        logger="",
        prefix="crcmod package not found",
        reason="Beam needs crcmod only for its own TFRecord files, which Driftline does not use.",
    ),
)


def apply_filters() -> None:
    """Drop the known messages in this process; the interpreter's `-W` options take precedence."""
    if not sys.warnoptions:
        for known in WARNING_FILTERS:
            warnings.filterwarnings("ignore", category=known.category, module=known.module)
    for message in MESSAGE_FILTERS:
        logging.getLogger(message.logger or None).addFilter(_PrefixFilter(message.prefix))


class _PrefixFilter(logging.Filter):
    """Drops the records of a logger whose message begins with a prefix."""

    def __init__(self, prefix: str) -> None:
        super().__init__()
        self._prefix = prefix

    def filter(self, record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith(self._prefix)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _PrefixFilter) and other._prefix == self._prefix

    def __hash__(self) -> int:
        return hash(self._prefix)


@contextmanager
def redirect_to(file: Path) -> Iterator[None]:
    """Send stderr of libraries and child processes, warnings and log records to `file`.

    `sys.stderr` still writes to the screen: it uses a duplicate of the original descriptor.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    original_stderr, descriptor = sys.stderr, os.dup(2)
    handler = logging.FileHandler(file)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    original_stderr.flush()
    with file.open("ab") as log:
        os.dup2(log.fileno(), 2)
    if _is_process_stderr(original_stderr):
        sys.stderr = os.fdopen(os.dup(descriptor), "w", buffering=1, encoding="utf-8")
    logging.getLogger().addHandler(handler)
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        logging.getLogger().removeHandler(handler)
        handler.close()
        if sys.stderr is not original_stderr:
            sys.stderr.close()
            sys.stderr = original_stderr
        os.dup2(descriptor, 2)
        os.close(descriptor)


def _is_process_stderr(stream: object) -> bool:
    """Whether the stream writes to descriptor 2; test runners replace it by memory."""
    try:
        return stream.fileno() == 2  # type: ignore[attr-defined,no-any-return]
    except (AttributeError, OSError, ValueError):
        return False
