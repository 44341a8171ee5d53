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


GateMode = Literal["critical", "soft", "dry-run"]
"""What a gate may do.

* ``critical``: a fail rolls back, and only a pass moves on.
* ``soft``: a fail rolls back; as long as too little data came to decide, it does not hold the
  rollout.
* ``dry-run``: it is judged and shown, and decides nothing.
"""


class GateSample(Value, frozen=True, kw_only=True):
    """One value that a gate evaluated."""

    name: str
    """Name of the value, for example ``canary_requests``."""
    value: float
    """The value."""


class SliceResult(Value, frozen=True, kw_only=True):
    """What a gate found in one slice of the requests, over the whole rollout.

    The judged arm is the canary, beside the control; for the control gates it is the control,
    beside the stable arm.
    """

    name: str
    """Value of the header `rollout.slices.header`."""
    outcome: GateOutcome
    """Outcome in this slice; ``insufficient`` also where it is too small to be judged."""
    requests: int
    """Requests of the judged arm; of scores its predictions, of quality its labelled ones."""
    bad: int
    """Those of them that failed, or were slow; 0 for scores and quality."""
    requests_beside: int
    """Requests of the arm that it is compared with."""
    bad_beside: int
    """Those of them that failed, or were slow."""
    share: float
    """Share of the slice in the clients' requests."""
    smallest_harm: float
    """Excess share of bad requests (distance of the scores, loss of the measure) that nine in ten
    rollouts would have found with the requests so far; 1 where not even a total failure would have
    been."""
    missing: int = 0
    """Estimated number of further requests per arm that the slice needs; 0 when it has enough."""
    holds: bool = True
    """Whether the rollout waits for this slice; one with too few requests does not hold it, and
    does not count as passed either."""
    value: float | None = None
    """Of ``predictions_by_slice`` the distance of the scores, of ``quality_by_slice`` the loss of
    the measure, both at the latest look; None for the gates that count requests."""


class GateResult(Value, frozen=True, kw_only=True):
    """The outcome of one gate."""

    gate: str
    """Name of the gate: errors, slow, control_errors, control_slow, latency_p99, sample_ratio,
    startup, paired, predictions, quality, or the name of a gate of `rollout.gates.queries`; with
    slices also errors_by_slice, slow_by_slice, control_errors_by_slice, control_slow_by_slice, and
    with `rollout.slices.field` predictions_by_slice and quality_by_slice. The
    control gates compare the control with the stable arm; their outcome ``error`` means that the
    control is sick and can judge no canary."""
    outcome: GateOutcome
    """Outcome of the gate."""
    reason: str
    """The counts that decided, in one sentence."""
    query: str
    """PromQL expression of the same measurement over the last seconds; for ``startup``, ``paired``,
    and the gates on scores and quality a description in words."""
    n: int
    """Number of requests behind the outcome, of both arms that are compared; for ``latency_p99``
    those of the canary, for ``startup`` 1, for ``paired`` the rows that both versions answered, for
    ``quality`` labelled predictions, for a query its looks."""
    limit: float
    """Limit of the gate: excess share of bad requests (errors, slow and the control gates), share
    of slow responses (latency_p99), probability of a false alarm (sample_ratio), seconds (startup),
    rank correlation (paired), distance of the distributions (predictions), loss of the measure
    (quality), or the margin of a query."""
    samples: tuple[GateSample, ...] = ()
    """The values that the gate evaluated, as evidence."""
    missing: int = 0
    """Estimated number of further requests per arm that it needs; 0 when it has enough."""
    mode: GateMode = "critical"
    """What the gate may do."""
    holds: bool = True
    """Whether the rollout waits for a pass of this gate; a soft gate does not hold it while there
    is too little data, a gate in dry-run never does."""
    slices: tuple[SliceResult, ...] = ()
    """The slices of a gate that judges each of them."""


class CanaryVerdict(Record, frozen=True, kw_only=True, tag="canary-verdict"):
    """The verdict on a canary at one step of its rollout."""

    version: int
    """Version of the canary."""
    rollout_id: str
    """Id of the rollout."""
    step: int
    """Index of the step among the configured weights, from 0."""
    weight: int
    """The candidate's share of the clients' requests, in percent; 0 while clients do not reach
    it."""
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
    change: Literal["initial", "promoted", "rolled-back", "referenced"]
    """Whether it is the model's first version (``initial``), was promoted after a rollout, is
    live again after a rollback (``rolled-back``), or was live already and now has the reference
    that its promotion had to do without (``referenced``)."""
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
    """The candidate's share of the clients' requests, in percent, as Envoy has it in force: that of
    the canary, and of the stable server once it has the candidate. 0 while clients do not reach
    it, and without a rollout."""
    step: int
    """Index of the step among the configured weights, from 0."""
    reason: str
    """Why the rollout is in this phase."""
    waits_for: str = ""
    """What a person has to do: ``approval before canary``, ``approval before promotion`` or
    ``resume``; or, without a rollout, ``the end of an experiment`` and the version that waits for
    it. Empty when nothing is waited for."""
    ends_at: float | None = None
    """When the phase ends by itself if nothing else happens, seconds since 1970; None without a
    rollout. Limits on servers and steps count only the time that the daemon watches, so the end
    moves while it is away."""
    control_replacements: int = 0
    """Number of times that a sick control was replaced by a fresh server in this rollout."""
