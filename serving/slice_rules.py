"""Settings of the slices: the named values of a request header that a rollout judges apart."""

from __future__ import annotations

import re
from dataclasses import dataclass

from streaming.contracts.errors import ConfigurationError

OTHER = "other"
"""Name of the requests that carry no named value; they are judged with all requests."""

MAX_SLICES = 20
"""Each slice has counters of its own in Envoy and Prometheus: about 40 series per arm and
protocol."""

_HEADER = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_VALUE = re.compile(r"[!-~](?:[ -~]{0,38}[!-~])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceRules:
    """Which requests form slices, and what is proven about each.

    Raises
    ------
    ConfigurationError
        When a value cannot work.
    """

    header: str = ""
    """Request header, or gRPC metadata key, in lower case; empty = no slices."""
    values: tuple[str, ...] = ()
    """Values of the header that form a slice each. Every other request is of no slice."""
    harm: float = 0.25
    """Excess share of bad requests that must be disproven in each slice at the last step, and more
    at the steps before (graded like the other margins). A quarter needs about 12 requests per arm;
    a tenth needs 34."""
    share: float = 0.3
    """Part of the α of each gate that the slices share; all requests together keep the others."""

    def __post_init__(self) -> None:
        if bool(self.header) != bool(self.values):
            raise ConfigurationError(
                "Slices need a header and at least one of its values: rollout.slices.header and "
                "rollout.slices.values."
            )
        if self.header and not _HEADER.fullmatch(self.header):
            raise ConfigurationError(
                f"The header {self.header!r} of the slices must be a header's name in lower case, "
                "such as x-tenant."
            )
        if len(self.values) > MAX_SLICES:
            raise ConfigurationError(
                f"{len(self.values)} slices are named; at most {MAX_SLICES} are counted apart, so "
                "that Envoy's and Prometheus' counters stay bounded. Name the most important ones; "
                f"the others are judged as {OTHER}."
            )
        for value in self.values:
            if not _VALUE.fullmatch(value) or value == OTHER:
                raise ConfigurationError(
                    f"The slice {value!r} must have 1 to 40 printable ASCII characters and cannot "
                    f"be called {OTHER}, which are the requests of no slice."
                )
        if len(set(self.values)) < len(self.values):
            raise ConfigurationError(f"A slice is named twice: {', '.join(self.values)}.")
        if not 0 < self.harm < 1 or not 0 < self.share < 1:
            raise ConfigurationError(
                f"harm is {self.harm} and share is {self.share}; both must be between 0 and 1."
            )


NO_SLICES = SliceRules()
