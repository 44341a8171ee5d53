"""Requests by slice: routes that match a header's value, and clusters that count them apart.

A slice has an aggregate cluster per arm and protocol with the servers of the arm (`canaryfb` and
`canaryfb-acme`): the same weights, health checks, ejections and connections. Only the counters are
apart, and an arm's are the sum of its aggregates. Requests without a named value keep the arm's
plain aggregate.

Decisions, each based on a measurement:

- Not the access logger for statistics, which could have the header as a label: it is not meant for
  production in this Envoy, and a client that invents values would fill the memory.
- A slice has no server clusters of its own: they would multiply health checks, and an ejection in
  one would not be known to the others. The first tries that failed are therefore counted as the
  retries of the aggregate.
- Envoy ends the name of a cluster in a counter at a dot, so names are encoded.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

Json = dict[str, Any]

NAMES = r"(?:-[^_]+)?"
"""Regular expression of the part of a cluster's name that stands for the slice; empty for none."""

_UNSAFE = re.compile(r"[^A-Za-z0-9-]")


def encoded(value: str) -> str:
    """A header's value as part of a cluster's name.

    >>> encoded("eu-west"), encoded("acme.com_1")
    ('eu-west', 'acme%2Ecom%5F1')
    """
    return _UNSAFE.sub(lambda match: f"%{ord(match[0]):02X}", value)


def arm_cluster(arm: str, slice_name: str = "") -> str:
    """The aggregate cluster of an arm for the requests of a slice, or of none.

    Its full name also has protocol and model (`names.cluster_name`).

    >>> arm_cluster("canary"), arm_cluster("canary", "acme")
    ('canaryfb', 'canaryfb-acme')
    """
    return f"{arm}fb-{encoded(slice_name)}" if slice_name else f"{arm}fb"


def slice_of(cluster: str) -> tuple[str, str]:
    """Arm and slice of an aggregate's name without its protocol; the slice is empty for none.

    >>> slice_of("canaryfb-acme%2Ecom"), slice_of("canaryfb"), slice_of("canary")
    (('canaryfb', 'acme.com'), ('canaryfb', ''), ('canary', ''))
    """
    arm, _, name = cluster.partition("-")
    return arm, unquote(name)


def only(match: Json, header: str, slice_name: str) -> Json:
    """A route's match, for the requests of one slice only."""
    if not slice_name:
        return match
    of_slice = {"name": header, "string_match": {"exact": slice_name}}
    return {**match, "headers": [*match.get("headers", ()), of_slice]}
