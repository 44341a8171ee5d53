"""Records of rollouts: canary verdicts with their gates, rollout status and promotions."""

from __future__ import annotations

from typing import Literal

from streaming.contracts.base import Artifact, Record, Value

GateOutcome = Literal["pass", "fail", "insufficient", "error"]
"""Outcome of a gate, and of a canary verdict.

* ``pass``: the canary may advance.
* ``fail``: the canary is proven to be worse than tolerated, and is rolled back.
* ``insufficient``: too little data to decide; the weight is held until the rollout's deadline.
* ``error``: it could not be judged, for example because no counts came; the weight is held until
  the rollout's deadline, unless the reason ends the rollout at once.
"""


class GateSample(Value, frozen=True, kw_only=True):
    """One value that a gate evaluated."""

    name: str
    """Name of the value, for example ``canary_requests``."""
    value: float
    """The value."""


class GateResult(Value, frozen=True, kw_only=True):
    """The outcome of one gate."""

    gate: str
    """Name of the gate: errors, slow, latency_p99, sample_ratio or startup."""
    outcome: GateOutcome
    """Outcome of the gate."""
    reason: str
    """The counts that decided, in one sentence."""
    query: str
    """PromQL expression of the same measurement over the last seconds; for ``startup`` a
    description in words."""
    n: int
    """Number of requests behind the outcome, canary and control together; for ``latency_p99`` those
    of the canary, for ``startup`` 1."""
    limit: float
    """Limit of the gate: excess share of bad requests (errors, slow), share of slow responses
    (latency_p99), probability of a false alarm (sample_ratio), or seconds (startup)."""
    samples: tuple[GateSample, ...] = ()
    """The values that the gate evaluated, as evidence."""
    missing: int = 0
    """Estimated number of further requests per arm that it needs; 0 when it has enough."""


class CanaryVerdict(Record, frozen=True, kw_only=True, tag="canary-verdict"):
    """The verdict on a canary at one step of its rollout."""

    version: int
    """Version of the canary."""
    rollout_id: str
    """Id of the rollout."""
    step: int
    """Index of the step among the configured weights, from 0."""
    weight: int
    """The canary's share of the clients' requests, in percent; 0 while clients do not reach it."""
    outcome: GateOutcome
    """The worst outcome of the gates; `error` when counts stay away or a time limit was missed."""
    reason: str
    """The reasons of the gates that decided, or why the rollout was ended or ejected."""
    gates: tuple[GateResult, ...]
    """Results of the gates; empty where the outcome has another reason."""
    requests: int
    """Number of requests of the canary since its weight last changed; copies while ejected."""
    seconds_in_step: float
    """Seconds since Envoy confirmed the weight; 0 before."""


class Promotion(Record, frozen=True, kw_only=True, tag="promotion"):
    """The version that is live from now on. Compacted by model: only the newest one counts."""

    version: int
    """Version that is live."""
    replaced: int
    """Version that was live before; 0 for the first one."""
    change: Literal["initial", "promoted", "rolled-back"]
    """Whether it is the model's first version (``initial``), was promoted after a rollout, or is
    live again after a rollback (``rolled-back``)."""
    reason: str
    """Why it was promoted or rolled back."""
    artifact: Artifact
    """Folder of the version in the model store."""
    reference: Artifact | None
    """The reference from now on (JSON of `ReferenceSummary`); None when there is none."""
    window_start: float
    """Start of the version's newest training data in event time, seconds since 1970."""
    window_end: float
    """End of the version's newest training data in event time, seconds since 1970."""


class RolloutStatus(Record, frozen=True, kw_only=True, tag="rollout-status"):
    """The state of a rollout; compacted by model, written at each change."""

    rollout_id: str
    """Id of the rollout; empty when none is in progress."""
    version: int
    """Version that is rolled out; without a rollout, the live version (0 when there is none)."""
    champion: int
    """Version that the candidate is compared with; without a rollout, the live version. 0 when no
    version is live."""
    phase: str
    """Phase of the rollout, one of `serving.state.Phase`; ``idle`` when none is in progress."""
    weight: int
    """The canary's share of the clients' requests, in percent; 0 while clients do not reach it."""
    step: int
    """Index of the step among the configured weights, from 0."""
    reason: str
    """Why the rollout is in this phase."""
    waits_for: str = ""
    """What a person has to do: ``approval before canary``, ``approval before promotion`` or
    ``resume``; empty when the rollout waits for nobody."""
