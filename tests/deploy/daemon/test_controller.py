"""What a controller tells of its state, also right after it was restored."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from deploy.daemon.controller import ControllerState, ModelController
from retrain.policy import RetrainRules
from retrain.state import Running, TriggerState
from serving.phase import Phase
from serving.rules import RolloutRules
from serving.state import OpenApproval, RolloutState
from serving.transitions import enter_phase, start_rollout
from tests.deploy.cli.approval_records import request, yes
from tests.deploy.cli.builders import promotion
from tests.serving.rollout_simulation import version


def controller() -> ModelController:
    unused: Any = None
    contract: Any = SimpleNamespace(model="m")
    return ModelController(
        contract=contract,
        retrain_rules=RetrainRules(),
        rollout_rules=RolloutRules(steps=(7, 20, 100)),
        labels=unused,
        serving=unused,
    )


def test_a_fresh_state_waits_for_nothing() -> None:
    fresh = controller()
    assert (fresh.phase, fresh.canary_weight, fresh.retrain_running) == (Phase.IDLE, 0, False)
    assert fresh.live_version == 0


@pytest.mark.parametrize(
    ("phase", "approval", "weight"),
    [
        (Phase.PREPARING, "", 0),
        (Phase.AWAITING_APPROVAL, "before-canary", 0),
        (Phase.AWAITING_APPROVAL, "before-promotion", 20),
        (Phase.STEPPING, "", 20),
        (Phase.PAUSED, "", 20),
        (Phase.EJECTED, "", 0),
    ],
)
def test_a_restored_state_is_told(phase: Phase, approval: str, weight: int) -> None:
    started = start_rollout(RolloutState(model="m", live=promotion(1)), version(2), 0.0)
    assert started.rollout is not None
    rollout = enter_phase(started.rollout, phase, "", 1.0, step=1, approval=approval)
    running = Running(request_id="r", cause="drift", since=0.0, deadline=9.0)
    state = ControllerState(
        trigger=TriggerState(model="m", running=running),
        rollout=msgspec.structs.replace(started, rollout=rollout),
    )
    restored = controller()
    restored.restore(msgspec.json.encode(state))
    assert (restored.phase, restored.canary_weight) == (phase, weight)
    assert restored.retrain_running
    assert restored.live_version == 1


def test_an_open_approval_and_who_is_missing_is_told_after_a_restart() -> None:
    assert controller().open_approval == (None, 0)
    asked_of = msgspec.structs.replace(request(), model="m")
    opened = OpenApproval(request=asked_of, decisions=(yes(asked_of),))
    state = ControllerState(
        trigger=TriggerState(model="m"), rollout=RolloutState(model="m", approval=opened)
    )
    restored = controller()
    restored.restore(msgspec.json.encode(state))
    assert restored.open_approval == (asked_of, 1)
