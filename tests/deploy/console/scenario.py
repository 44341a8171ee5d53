"""A control loop that waits for an approval after a shift, as the real daemon's records tell it.

The log is made once for all tests of a run, in a few seconds; nobody writes to it afterwards.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from deploy.records.approvals import approvals
from serving.approval_rules import ApprovalRules
from streaming.contracts.clock import ManualClock
from streaming.contracts.ids import record_id
from streaming.contracts.records import Action, ApprovalRequest, Command
from tests.integration.control_loop import ControlLoop

MODEL = "big_tipper"
BEGIN = 1_772_443_800.0
"""2026-03-02 09:30 UTC."""


def decide(loop: ControlLoop, action: Action, who: str, request: ApprovalRequest) -> None:
    """Put a person's decision on the log."""
    loop.log.append(
        [
            Command(
                record_id=record_id("command", action, who, request.record_id),
                model=loop.contract.model,
                at=loop.clock.now(),
                action=action,
                reason="The slices look right",
                who=who,
                subject=request.record_id,
                digest=request.digest,
            )
        ]
    )


def open_request(loop: ControlLoop) -> ApprovalRequest | None:
    """The approval request that waits for people, if any."""
    waiting = [entry for entry in approvals(loop.log, MODEL, 9) if entry.outcome is None]
    return waiting[-1].request if waiting else None


def until_open(loop: ControlLoop, *, shifted: bool) -> ApprovalRequest:
    """Produce traffic until people are asked."""
    for _ in range(40):
        request = open_request(loop)
        if request is not None:
            return request
        loop.window(shifted=shifted)
    raise AssertionError("Nobody was asked to approve anything.")


def until_live(loop: ControlLoop, version: int, *, shifted: bool) -> None:
    """Produce traffic until a version is live and its rollout has ended."""
    for _ in range(60):
        if (
            loop.controller.live_version == version
            and loop.controller.state.rollout.rollout is None
        ):
            return
        loop.window(shifted=shifted)
    raise AssertionError(f"Version {version} never went live.")


def awaiting_approval(folder: Path) -> ControlLoop:
    """Version 1 is live, the traffic has shifted, and version 2 waits for a person's yes."""
    loop = ControlLoop(folder, clock=ManualClock(BEGIN))
    loop.controller.rollout_rules = replace(
        loop.controller.rollout_rules, approval="before-canary", approvals=ApprovalRules()
    )
    decide(loop, "approve", "ann", until_open(loop, shifted=False))
    until_live(loop, 1, shifted=False)
    for _ in range(6):
        loop.window()
    until_open(loop, shifted=True)
    return loop


@cache
def shared() -> ControlLoop:
    """`awaiting_approval`, made once."""
    return awaiting_approval(Path(mkdtemp(prefix="driftline-console-")))
