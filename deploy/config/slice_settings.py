"""The settings of slices, as they are written below `models.NAME.rollout.slices`."""

from __future__ import annotations

from pydantic import Field

from deploy.config.types import Percent, Section
from serving.slice_rules import MAX_SLICES, SliceRules

_SLICES = SliceRules()


class SliceSettings(Section):
    """Requests that are judged apart, by a header."""

    header: str = _SLICES.header
    """Request header, or gRPC metadata key, in lower case, such as x-tenant. Empty: no slices. The
    name is matched exactly, and every client can send it: it decides which counters a request is
    counted in, and nothing else."""
    values: tuple[str, ...] = Field(default=_SLICES.values, max_length=MAX_SLICES)
    """Values of the header that are judged apart, at most 20. Each has counters of its own in Envoy
    and Prometheus, about 40 series per arm and protocol. A canary that fails in one of them is
    rolled back. Requests with another value, or without the header, are judged with all others."""
    harm: Percent = _SLICES.harm
    """Excess share of errors, and of slow responses, that must be disproven in each slice before
    the promotion. 25% needs about 12 requests of the slice per arm, 10% 34. A slice that gets too
    few does not hold the rollout; the plan and the verdicts name it with the smallest harm that is
    found."""

    def rules(self) -> SliceRules:
        """The slices' rules; raises `ConfigurationError`."""
        return SliceRules(header=self.header, values=self.values, harm=self.harm)
