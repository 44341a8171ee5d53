"""The settings of a rollout: one value, validated on creation, with the reason for each default.

These are the defaults that a user gets. Numbers that come from a simulation come from the one
behind the design of the sequential tests: a champion with 0.2 % errors and 0.2 % slow requests, and
a control arm with the same traffic as the canary.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from serving.approval_rules import ApprovalRules
from serving.evidence.rules import EvidenceRules
from serving.experiment_rules import ExperimentRules
from serving.shadow_rules import ShadowRules
from serving.slice_rules import NO_SLICES, SliceRules
from streaming.contracts.errors import ConfigurationError

Approval = Literal["never", "before-canary", "before-promotion"]

LATENCY_EDGES_MS = (1, 2, 5, 10, 20, 35, 50, 75, 100, 150, 200, 250, 300, 500, 1000, 2500, 10000)
"""Bucket edges of Envoy's latency histogram; a latency limit is exact only at an edge."""

MAX_DEADLINE_SECONDS = 86_400.0
"""The traffic extends a deadline to at most a day: what needs longer is not found in a canary."""

LAMBDAS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
"""Bet sizes of the symmetry e-process, mixed with equal weights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alphas:
    """Probabilities of a wrong decision over a whole rollout, all looks and all steps together."""

    errors: float = 0.01
    """Of failing a canary that has no more errors than the control."""
    slow: float = 0.01
    """Of failing a canary that has no more slow responses than the control."""
    control: float = 0.01
    """Of calling a control sick that is like the stable arm, for each of errors and slow."""
    sample_ratio: float = 0.001
    """Of reporting an unequal split when requests are split equally."""
    passing: float = 0.05
    """Of passing, at one gate and step, a canary that is as bad as the margin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EjectionRules:
    """When a dead, hung or slow canary is ejected: within seconds, without a statistical verdict.

    A check pools scrapes for at least `min_seconds` and until each arm has `min_requests`, for at
    most `max_seconds`. A canary that fails wholly is ejected by one scrape.
    """

    min_requests: int = 5
    min_seconds: float = 0.9
    """A shorter burst of errors in one arm makes no bad check, unless all requests fail."""
    max_seconds: float = 5.0
    bad_share: float = 0.5
    """A check is bad if at least this share of the canary's requests failed or was slow."""
    together_share: float = 0.8
    """The same for errors and slow responses together. Above `bad_share`, because both often come
    from one cause that passes, in one arm by chance."""
    whole_share: float = 0.95
    """From this share on the canary fails wholly: one check of `whole_requests` ejects it."""
    whole_requests: int = 20
    """As many requests in a row are no chance; a check of fewer is a bad one like the others."""
    max_control_share: float = 0.1
    """A check is never bad if more than this share of the control's requests failed or was slow."""
    bad_checks: int = 2
    """Consecutive bad checks that eject the canary."""
    bake_bad_checks: int = 5
    """Consecutive bad checks of the live version that take it back where nothing tells whether the
    replaced version would do better. Beside a healthy control, `bad_checks` are enough."""
    recover_seconds: float = 15.0
    """Copies of the traffic must be answered well for this long before clients return."""
    mirror_weight: int = 25
    """Share of the traffic, in percent, copied to canary and control during an ejection."""
    max_ejections: int = 3
    """A canary that would be ejected more often than this is rolled back."""


_SHADOW, _APPROVALS = ShadowRules(), ApprovalRules()
_EXPERIMENTS = ExperimentRules()


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutRules:
    """How one model is rolled out.

    Raises
    ------
    ConfigurationError
        When a value cannot work.
    """

    steps: tuple[int, ...] = (1, 5, 10, 25, 50, 100)
    """Canary weights in percent, ascending, at most 50 because the control gets as much. The
    closing 100 stands for the promotion and may be omitted."""
    hold_seconds: float = 60.0
    """Minimum duration of a step. A step also lasts until every gate passes."""
    errors_pp: float = 0.5
    """Tolerated excess of the canary's error share over the control's, in percentage points, at the
    last step."""
    latency_ms: int = 200
    """Latency limit in milliseconds; one of `LATENCY_EDGES_MS`."""
    slow_share: float = 0.01
    """Share of requests allowed above `latency_ms` at the last step: 0.01 means p99 < `latency_ms`.
    """
    slow_gate: Literal["absolute", "compare"] = "absolute"
    """compare: prove only that the canary is not slower than the control. Needed where the champion
    itself has 0.8 % slow requests or more, because the absolute limit cannot be proven there."""
    startup_seconds: float = 5.0
    """Limit on the time from the load request until the version is available."""
    approval: Approval = "before-canary"
    """When a person has to approve; before-canary protects clients from an unreviewed version. The
    first version of a model needs it too, unless it is never."""
    approvals: ApprovalRules = _APPROVALS
    """Who may approve, and how many people it takes."""
    deadline_seconds: float = 7200.0
    """Time in steps after which an unproven rollout is rolled back; later where the measured
    traffic needs longer (`serving.plan`). Only time in which the rollout is watched counts, and
    waiting for a person does not."""
    control_replacements: int = 2
    """How often a rollout replaces a sick control by a fresh server. A control that is sick again
    after that is no fault of its server: the weight is held, and it pages. Each replacement begins
    the tests anew, and adds their α."""
    prepare_seconds: float = 120.0
    """Time limit for the servers to load both versions; the rollout is given up after it."""
    reference_seconds: float = 600.0
    """How long a promotion waits for the version's drift reference. Without one, windows are
    inconclusive until it is built, which goes on. A build that does nothing for as long is started
    again."""
    served: bool = True
    """Whether this deployment serves the model. If not, a version needs no canary: it is promoted
    once it is blessed, and approved where an approval is asked for."""
    memory_limited: bool = False
    """Whether a rollout has to wait for memory before it loads its versions."""
    memory_seconds: float = 86_400.0
    """A rollout that gets no memory for this long (a day) is given up."""
    bake_seconds: float = 600.0
    """The replaced version stays loaded for at least this long after a promotion, and until every
    gate has passed once more."""
    bake_weight: int = 10
    """Share of the traffic, in percent, that the replaced version keeps during the bake, and an
    equal share of the promoted one that it is compared with. Less traffic takes longer to judge."""
    bake_deadline_seconds: float = 7200.0
    """A bake whose gates still lack data after this long ends in a rollback, unless the requests
    exclude at least the harm that a first canary step has to exclude."""
    approval_seconds: float = 259_200.0
    """A version that nobody approves for this long (three days) is given up."""
    pause_seconds: float = 86_400.0
    """A pause that nobody ends for this long (a day) ends in a rollback."""
    block_seconds: float = 4.0
    """Length of a block. Shorter blocks take a burst of requests in one arm for harm; longer ones
    expose more requests at much traffic, because a proof takes at least eight of them."""
    warm_seconds: float = 3.0
    """Time at the beginning of each weight that is not counted, in both arms."""
    stale_seconds: float = 15.0
    """Without a scrape for this long the outcome is error: the canary could not be measured."""
    report_seconds: float = 15.0
    """Maximum time between two verdict records during a step."""
    lambdas: tuple[float, ...] = LAMBDAS
    """Bet sizes of the symmetry e-process."""
    alphas: Alphas = Alphas()
    ejection: EjectionRules = EjectionRules()
    evidence: EvidenceRules = field(default_factory=EvidenceRules)
    """The gates on scores, realised quality and users' queries."""
    shadow: ShadowRules = _SHADOW
    """The paired comparison of answers before the first weight."""
    slices: SliceRules = NO_SLICES
    """Requests that are judged apart, by a header."""
    experiments: ExperimentRules = _EXPERIMENTS
    """How versions are compared by user."""

    def __post_init__(self) -> None:
        steps = self.weights
        if not steps or list(steps) != sorted(set(steps)) or steps[0] < 1 or steps[-1] > 50:
            raise ConfigurationError(
                f"Rollout steps {list(self.steps)} must ascend from at least 1 to at most 50 "
                "(percent; the control arm gets as much as the canary); a final 100 is optional."
            )
        if not 1 <= self.bake_weight <= 50:
            raise ConfigurationError(
                f"bake_weight is {self.bake_weight}; it must be 1 to 50 (percent; the replaced and "
                "the promoted version get as much each)."
            )
        if self.control_replacements < 0:
            raise ConfigurationError(
                f"control_replacements is {self.control_replacements}; it must be at least 0."
            )
        if self.latency_ms not in LATENCY_EDGES_MS:
            raise ConfigurationError(
                f"The latency limit of {self.latency_ms} ms is not a histogram edge; choose one "
                f"of {list(LATENCY_EDGES_MS)}."
            )
        positive = ("errors_pp", "slow_share", "startup_seconds", "block_seconds")
        limits = (
            "bake_deadline_seconds",
            "approval_seconds",
            "pause_seconds",
            "prepare_seconds",
            "memory_seconds",
        )
        for name in (*positive, *limits):
            if getattr(self, name) <= 0:
                raise ConfigurationError(f"{name} is {getattr(self, name)}; it must be above 0.")
        if self.approval not in get_args(Approval):
            known = ", ".join(get_args(Approval))
            raise ConfigurationError(f"Approval {self.approval!r} is not one of {known}.")

    @property
    def weights(self) -> tuple[int, ...]:
        """The steps before the promotion."""
        return self.steps[:-1] if self.steps[-1:] == (100,) else self.steps

    def next_weight(self, step: int) -> int:
        """The canary's weight after this step passes; 100 after the last step."""
        return self.weights[step + 1] if step + 1 < len(self.weights) else 100
