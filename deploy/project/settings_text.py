"""``driftline.yaml`` of a new project. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from deploy.project.guess import ProjectGuess


@dataclass(frozen=True, slots=True, kw_only=True)
class Topics:
    """The topics of a model."""

    events: str
    labels: str
    predictions: str


def topics_of(model: str) -> Topics:
    """The topics of a model that has none yet."""
    return Topics(
        events=f"{model}.events", labels=f"{model}.labels", predictions=f"{model}.predictions"
    )


def settings_text(model: str, package: str, guess: ProjectGuess, topics: Topics) -> str:
    """``driftline.yaml``: a quick rhythm, with which the whole circle takes minutes."""
    rows = max(500, min(5000, guess.rows))
    return f"""# Written by `driftline init`. `driftline config explain` says what each key means.
code: .                    # this folder holds the package {package}
models:
  {model}:
    module: {package}
    events: {{topic: {topics.events}, key: {guess.key}, time: {guess.time}}}
    labels: {{topic: {topics.labels}, key: {guess.key}, mature_after: 3s}}
    predictions: {{topic: {topics.predictions}}}
    # A rhythm for trying out: minutes instead of hours. For production take windows of a minute or
    # more, `approval: before-canary`, and the defaults of retrain and rollout.
    window: {{size: 5s, max_out_of_orderness: 1s}}
    drift: {{false_alarms: 1 per 30d, effect: {{suspected: 0.25, drifted: 0.5}}, sustained: 3 of 5}}
    retrain: {{cooldown: 20s, budget: 10 per 1d, min_labelled_rows: {rows}, max_rows: {8 * rows}}}
    rollout:
      steps: [5, 10, 25, 50, 100]
      hold: 10s
      approval: never
      deadline: 10m
      bake: 15s
      bake_weight: 25
local: {{folder: {package}}}
"""
