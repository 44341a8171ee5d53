"""Status codes shared by TensorFlow, gRPC and TF Serving, and the HTTP status of each.

Source of the HTTP mapping: ``ToHTTPStatusCode`` of tensorflow/serving's ``http_server.cc``.
"""

from __future__ import annotations

from enum import IntEnum

from streaming.contracts.errors import PermanentError


class Code(IntEnum):
    """``tensorflow.error.Code``; the numbers are gRPC's too."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


_HTTP = {
    Code.OK: 200,
    Code.CANCELLED: 499,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.UNAVAILABLE: 503,
    Code.UNAUTHENTICATED: 401,
}


def http_status(code: Code) -> int:
    """TF Serving's HTTP status for a code; 500 if it has no specific one.

    >>> http_status(Code.NOT_FOUND), http_status(Code.INTERNAL)
    (404, 500)
    """
    return _HTTP.get(code, 500)


class Refused(PermanentError):
    """A request that the server refuses with a code and a text."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def invalid(message: str) -> Refused:
    """An INVALID_ARGUMENT refusal."""
    return Refused(Code.INVALID_ARGUMENT, message)
