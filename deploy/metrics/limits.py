"""The settings that alert rules and dashboards compare with.

Rules that carry numbers of their own disagree with the settings as soon as somebody changes those.
So the daemon exports them as `driftline_setting`, and the rules read them there.
"""

from __future__ import annotations

from deploy.config.model_settings import ModelSettings


def alert_settings(model: ModelSettings) -> dict[str, float]:
    """Value of each such setting, in the unit that its name ends with."""
    rollout, retrain = model.rollout, model.retrain
    return {
        "window_seconds": model.window.size,
        "max_out_of_orderness_seconds": model.window.max_out_of_orderness,
        "drifted_effect_sd": model.drift.effect.drifted,
        "retrain_deadline_seconds": retrain.deadline,
        "retrain_budget_runs": retrain.budget.times,
        "latency_p99_milliseconds": rollout.gates.latency_p99 * 1000.0,
        "errors_ratio": rollout.gates.errors,
        "rollout_deadline_seconds": rollout.deadline,
        "pause_deadline_seconds": rollout.pause_deadline,
        "bake_deadline_seconds": rollout.bake_deadline,
        "approval_deadline_seconds": rollout.approval_deadline,
    }
