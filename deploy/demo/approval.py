"""`driftline demo --approve`: a person decides on version 2 in the console, or by command.

The first version is approved by the demonstration itself: nothing is live that it could be compared
with. Before the second one reaches clients the run waits at its decision page, and goes on when the
request has ended. A no ends the demonstration.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from urllib.parse import quote

from deploy.demo.names import SECOND_VERSION
from deploy.demo.scenarios import Approve, Scenario, ScenarioStep, ShowDecisionPage
from deploy.demo.state import DemoState
from streaming.contracts.errors import NotFoundError
from streaming.contracts.records import ApprovalRequest

DECISION_SECONDS = 3600.0
"""How long a person's decision is waited for."""
_REQUEST_SECONDS = 180.0
REASON = "The first version: nothing is live that it could be compared with."


def approval_variables(model: str) -> dict[str, str]:
    """The environment with which the daemon asks people before a canary.

    >>> approval_variables("taxi")
    {'DRIFTLINE__MODELS__TAXI__ROLLOUT__APPROVAL': 'before-canary'}
    """
    return {f"DRIFTLINE__MODELS__{model.upper()}__ROLLOUT__APPROVAL": "before-canary"}


def with_approval(scenario: Scenario) -> Scenario:
    """The scenario with a person's decision before version 2 reaches clients.

    Raises
    ------
    NotFoundError
        When it has no second version.
    """
    if scenario.name not in SECOND_VERSION:
        raise NotFoundError(
            f"The scenario {scenario.name} trains no second version that could be approved; "
            f"--approve plays with {', '.join(SECOND_VERSION)}."
        )
    steps: list[ScenarioStep] = []
    for step in scenario.steps:
        steps.append(step)
        if step.waits_for == "version 1":
            steps.append(_asked(1, Approve(1, REASON)))
        elif step.waits_for == "version 2":
            steps += [_asked(2, ShowDecisionPage(2)), _decided(2)]
    return replace(scenario, steps=tuple(steps), failure=_failure(scenario.failure))


def _asked(version: int, action: Approve | ShowDecisionPage) -> ScenarioStep:
    return ScenarioStep(
        f"the request to approve version {version}",
        lambda state: request_of(state, version) is not None,
        seconds=_REQUEST_SECONDS,
        log="daemon",
        actions=(action,),
    )


def _decided(version: int) -> ScenarioStep:
    def ended(state: DemoState) -> bool:
        request = request_of(state, version)
        return request is not None and request.record_id in state.timeline.approval_outcomes

    return ScenarioStep(
        f"your decision on version {version}",
        ended,
        seconds=DECISION_SECONDS,
        log="daemon",
        by_person=True,
    )


def request_of(state: DemoState, version: int) -> ApprovalRequest | None:
    """The newest request about a version; an older one is void."""
    requests = [r for r in state.timeline.approval_requests if r.version == version]
    return requests[-1] if requests else None


def _failure(before: Callable[[DemoState], str]) -> Callable[[DemoState], str]:
    """The scenario's conditions, and a request that ended without a yes."""

    def failure(state: DemoState) -> str:
        for outcome in state.timeline.approval_outcomes.values():
            if outcome.outcome in ("rejected", "expired"):
                return f"Version {outcome.version} was {outcome.outcome}: {outcome.reason}"
        return before(state)

    return failure


def decision_address(console: str, request: ApprovalRequest) -> str:
    """The page on which a request is decided."""
    return f"{console}/approvals/{quote(request.record_id, safe='')}"


def decision_commands(program: str, request: ApprovalRequest) -> str:
    """The commands that decide the same."""
    words = f"{program} rollout approve {request.model} --request {request.record_id}"
    return f"or in a terminal: {words} (to say no: reject, with --reason)"
