"""The errors that Driftline raises on purpose, in one tree.

The class determines what the caller should do. The message is a sentence: what was found, what was
expected and what to do next.

::

    DriftlineError
    ├── TemporaryError        retry after `delay_seconds`
    │   └── UnavailableError      an engine does not answer
    ├── PermanentError        a retry does not help: dead letter or failure record
    │   ├── DecodeError           bytes that are not a usable record
    │   ├── NotFoundError         no such model, version or record
    │   ├── Conflict              already running, already used, or changed in the meantime
    │   ├── NotAllowedError       somebody else has to do it
    │   └── GateFailedError       a gate or a verdict refused it
    └── ConfigurationError    refuse to start
"""

from __future__ import annotations


class DriftlineError(Exception):
    """Root of the tree; never raised itself."""


class TemporaryError(DriftlineError):
    """The same call may succeed later.

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
    """A retry does not help."""


class DecodeError(PermanentError):
    """Bytes that are not a usable record.

    Parameters
    ----------
    reason:
        Reason code of the dead letter.
    field:
        The field that could not be used; empty where no single field caused the error.
    value_kind:
        Kind of that field's value, for example ``text``.
    """

    def __init__(
        self, message: str, *, reason: str = "unreadable", field: str = "", value_kind: str = ""
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.field = field
        self.value_kind = value_kind


class NotFoundError(PermanentError):
    """No such model, version, record or file."""


class Conflict(PermanentError):
    """Already running, already used, or bound to something that has changed in the meantime."""


class NotAllowedError(PermanentError):
    """This person may not do it; somebody else may."""


class GateFailedError(PermanentError):
    """A gate or a verdict refused it."""


class ConfigurationError(DriftlineError):
    """A setting is wrong; nothing starts until it is corrected."""
