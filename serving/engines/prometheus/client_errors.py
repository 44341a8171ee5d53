"""Counts client errors that were not tried on another server.

Envoy counts a 4xx answer as a success of the server. A refused request that is tried again
(`envoy/refusals.py`) is no success of the first server, and the second answer is counted at the
end: where both servers refuse it, it would be counted twice. So what was tried again between two
scrapes is taken from the client errors of the same cluster between them. Where some refusals are
tried again and others are not (bodies above Envoy's buffer), at least half of them count.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_CLASS = "envoy_cluster_upstream_rq_xx"
_TRIED_AGAIN = "envoy_cluster_retry_upstream_rq_xx"
_GRPC_CLIENT_ERROR = "envoy_cluster_grpc_(?:1|3|5|6|7|8|9|10|11|16)"
"""gRPC codes that map to HTTP 4xx."""
_CLIENT_ERROR = re.compile(_GRPC_CLIENT_ERROR)

NAMES = (_CLASS, _TRIED_AGAIN, _GRPC_CLIENT_ERROR)
"""The counters, as alternatives of a regular expression; of the classes 2 and 4 only."""

REFUSED = "client errors that were not tried again"
"""Name of the total."""


def sign(labels: Mapping[str, str]) -> int:
    """Whether a counter adds to the total (1), takes from it (-1), or has nothing to do with it.

    A refusal over gRPC is an HTTP response of class 2.

    >>> sign({"__name__": "envoy_cluster_upstream_rq_xx", "envoy_response_code_class": "4"})
    1
    >>> sign({"__name__": "envoy_cluster_upstream_rq_xx", "envoy_response_code_class": "2"})
    0
    """
    name = labels.get("__name__", "")
    if name == _TRIED_AGAIN:
        return -1
    if name == _CLASS:
        return 1 if labels.get("envoy_response_code_class") == "4" else 0
    return 1 if _CLIENT_ERROR.fullmatch(name) else 0
