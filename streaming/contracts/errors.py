"""Every error Driftline raises on purpose, in one tree.

The class says what the caller should do; the message is a sentence that says what was found,
what was expected and what to do next.

::

    DriftlineError
    ├── TemporaryError        try again after `delay_seconds`
    │   └── UnavailableError      an engine does not answer
    ├── PermanentError        trying again changes nothing: dead letter or failure record
    │   ├── DecodeError       bytes that are not a record we know
    │   ├── NotFoundError         no such model, version or record
    │   ├── Conflict         somebody was faster, or the approval is for another digest
    │   └── GateFailedError       a gate or a verdict said no
    └── ConfigurationError    refuse to start
"""

from __future__ import annotations


class DriftlineError(Exception):
    """Root of the tree; never raised itself."""


class TemporaryError(DriftlineError):
    """The same call may go through later.

    Parameters
    ----------
    message:
        What was found, what was expected, what to do.
    delay_seconds:
        How long to wait before the next try.
    """

    def __init__(self, message: str, *, delay_seconds: float = 1.0) -> None:
        super().__init__(message)
        self.delay_seconds = delay_seconds


class UnavailableError(TemporaryError):
    """An engine (Kafka, Flink, Prometheus, a model server) does not answer."""


class PermanentError(DriftlineError):
    """Trying again changes nothing."""


class DecodeError(PermanentError):
    """Bytes that are not a record of a form we know; `reason` is the dead letter's code.

    `field` is the one that could not be used, where it was one, and `found` what it held.
    """

    def __init__(
        self, message: str, *, reason: str = "unreadable", field: str = "", found: str = ""
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.field = field
        self.found = found


class NotFoundError(PermanentError):
    """No such model, version, record or file."""


class Conflict(PermanentError):
    """Already running, already used, or bound to something that has changed since."""


class GateFailedError(PermanentError):
    """A gate or a verdict said no."""


class ConfigurationError(DriftlineError):
    """A setting cannot work; nothing starts until it is mended."""
