"""Why a verdict is what it is: measured value, limit, n, what is missing, and the next command."""

from __future__ import annotations

from dataclasses import dataclass

from deploy.console.states import State, state_of
from deploy.views.rollout import value_against_limit
from streaming.contracts.records import (
    AnswerCheck,
    FeatureVerdict,
    GateResult,
    QualityMetric,
    SchemaFinding,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """One judged thing with its evidence."""

    name: str
    """What was judged."""
    state: State
    measured: str
    """The measured value with its unit; empty where nothing was measured."""
    limit: str
    """Its limit with the unit; empty where there is none."""
    n: int = 0
    """Number of observations behind it; 0 where they are not counted."""
    missing: str = ""
    """What is missing for a verdict; empty when nothing is."""
    reason: str = ""
    """The reason in the verdict's words."""
    query: str = ""
    """The query that measured it; empty where none did."""
    command: str = ""
    """The next command; empty when there is nothing to do."""


def of_feature(feature: FeatureVerdict, model: str) -> Why:
    """A feature of a drift verdict."""
    return Why(
        name=feature.feature,
        state=state_of(feature.outcome),
        measured=f"{feature.effect:.2f} sd" if feature.tests else "",
        limit=f"{feature.limit_sd:.2f} sd" if feature.limit_sd else "",
        n=feature.n,
        missing="" if feature.tests else "the feature was not judged in this window",
        reason=feature.reason,
        query=f"test {feature.test}, {feature.hits} of the last {feature.of} windows beyond"
        if feature.test
        else "",
        command=""
        if feature.outcome == "stable"
        else f"driftline drift {model} --feature {shell_word(feature.feature)}",
    )


def of_gate(gate: GateResult, model: str) -> Why:
    """A gate of a canary verdict."""
    measured, _, limit = value_against_limit(gate).rpartition("limit ")
    return Why(
        name=f"{gate.gate} ({gate.mode})" if gate.mode != "critical" else gate.gate,
        state=state_of(gate.outcome),
        measured=measured.rstrip(", "),
        limit=limit,
        n=gate.n,
        missing=f"{gate.missing} requests per arm" if gate.missing else "",
        reason=gate.reason,
        query=gate.query,
        command="" if gate.outcome == "pass" else f"driftline rollout status {model}",
    )


def of_check(check: AnswerCheck, model: str) -> Why:
    """A check of the paired comparison of answers."""
    return Why(
        name=check.name,
        state=state_of(check.outcome),
        measured="" if check.value is None else f"{check.value:.3g}",
        limit="" if check.limit is None else f"{check.limit:.3g}",
        reason=check.reason,
        command="" if check.outcome == "pass" else f"driftline rollout answers {model}",
    )


def of_finding(finding: SchemaFinding, model: str) -> Why:
    """A schema finding."""
    return Why(
        name=f"{finding.feature}: {finding.kind.replace('_', ' ')}",
        state=state_of(finding.outcome),
        measured="" if finding.value is None else f"{finding.value:.3g}",
        limit="" if finding.limit is None else f"{finding.limit:.3g}",
        n=finding.n,
        reason=finding.reason,
        query=f"{finding.hits} of the last {finding.of} windows",
        command=f"driftline schema propose {model}",
    )


def of_metric(metric: QualityMetric, model: str) -> Why:
    """A metric of a quality verdict."""
    beyond = metric.hits > 0
    interval = (
        f" ({metric.low:.3f} to {metric.high:.3f})"
        if metric.low is not None and metric.high is not None
        else ""
    )
    return Why(
        name=metric.name.replace("_", " "),
        state=state_of("" if metric.limit is None else "suspected" if beyond else "stable"),
        measured=f"{metric.value:.3f}{interval}",
        limit="" if metric.limit is None else f"{metric.limit:.3f}",
        n=metric.n,
        missing="" if metric.limit is not None else "a baseline to compare with",
        reason="" if metric.baseline is None else f"baseline {metric.baseline:.3f}",
        query=f"{metric.hits} of the last {metric.of} batches beyond" if metric.of else "",
        command=f"driftline quality {model}" if beyond else "",
    )


def shell_word(text: str) -> str:
    """A word that a shell takes as it is.

    >>> shell_word("fare"), shell_word("(correlation)")
    ('fare', "'(correlation)'")
    """
    import shlex

    return shlex.quote(text)
