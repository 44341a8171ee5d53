"""Answers that say "not for me": the request is tried on another server before its client sees it.

A server that comes back with a model of another signature, or without the version, answers 4xx:
Envoy takes that for the client's error and does not try again. The clusters of the arms therefore
write the status and the number of each try into a header, which the retry policy reads and which
clients do not see. Where both servers refuse a request, the client gets the second answer.

The gates see each request that was tried again as an error of its arm, as with every other retry.
"""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

ANSWER_HEADER = "x-driftline-answer"
"""HTTP status, gRPC status and number of a try, for example ``400/-/1`` or ``200/3/1``."""

_REST = "400|404|429"
"""INVALID_ARGUMENT and FAILED_PRECONDITION, NOT_FOUND, RESOURCE_EXHAUSTED."""
_GRPC = "3|5|9|12"
"""INVALID_ARGUMENT, NOT_FOUND, FAILED_PRECONDITION, UNIMPLEMENTED; the others are tried again by
the names that Envoy has for them."""

_TYPE = "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation"


def answer_mark() -> Json:
    """The filter of a cluster that writes the status of each try into the header.

    The virtual host must have `include_request_attempt_count`.
    """
    value = "%RESP(:STATUS)%/%RESP(GRPC-STATUS)%/%REQ(X-ENVOY-ATTEMPT-COUNT)%"
    header = {"key": ANSWER_HEADER, "value": value}
    change = {"append": {"header": header, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}}
    return {
        "name": "envoy.filters.http.header_mutation",
        "typed_config": {"@type": _TYPE, "mutations": {"response_mutations": [change]}},
    }


def refused_answer() -> Json:
    """Matches the first answers after which a request is tried on the other server."""
    pattern = rf"(({_REST})/[^/]*|200/({_GRPC}))/1"
    return {"name": ANSWER_HEADER, "string_match": {"safe_regex": {"regex": pattern}}}
