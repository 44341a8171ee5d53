"""`driftline rollout plan`: what a rollout takes at a model's traffic, before there is one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.shared.command import Json, Model, command
from deploy.views.output import show_json, stdout
from streaming.contracts.errors import ConfigurationError, NotFoundError

if TYPE_CHECKING:
    from deploy.app.deployment import Deployment
    from serving.plan import RolloutPlan

MEASURED_SECONDS = 600.0
"""The traffic of the last ten minutes is measured, as at the beginning of a rollout."""


@command
def plan(
    deployment: Deployment,
    model: Model,
    rate: Annotated[
        float | None,
        typer.Option(min=0.0, help="Requests per second; default: those of the last ten minutes."),
    ] = None,
    json: Json = False,
) -> None:
    """Show how long a rollout takes at this traffic, its steps, what may hold them, its deadline,
    and the smallest harm that it finds.

    Example: `driftline rollout plan big_tipper --rate 20`
    """
    planned = _measured(deployment, model) if rate is None else _planned(deployment, model, rate)
    if json:
        show_json(
            {
                "requests_per_second": planned.requests_per_second,
                "seconds": _finite(planned.seconds),
                "longest_seconds": planned.longest_seconds,
                "deadline_seconds": planned.deadline_seconds,
                "decides": planned.decides,
                "smallest_harm": planned.smallest_harm,
                "steps": [
                    {
                        "weight": step.weight,
                        "requests": step.requests,
                        "seconds": _finite(step.seconds),
                        "left_out": left_out,
                    }
                    for steps, left_out in ((planned.left_out, True), (planned.steps, False))
                    for step in steps
                ],
                "text": planned.text,
            }
        )
        return
    stdout.print(planned.text, soft_wrap=True)


def _planned(deployment: Deployment, model: str, rate: float) -> RolloutPlan:
    from serving.plan import plan

    return plan(deployment.rollout_rules(model), rate)


def _measured(deployment: Deployment, model: str) -> RolloutPlan:
    """The plan at the traffic that Prometheus has of the model."""
    from deploy.app.serving_engines import traffic_metrics
    from serving.counts import add_traffic
    from serving.plan import plan_measured
    from serving.state import ArmCounts

    rules = deployment.rollout_rules(model)
    if not deployment.serves(model):
        raise ConfigurationError(
            f"This deployment does not serve {model}, so it measures no traffic. Say how much "
            f"there is: `driftline rollout plan {model} --rate 20`."
        )
    now = time.time()
    scrapes = traffic_metrics(deployment, model).scrapes(since=now - MEASURED_SECONDS, now=now)
    planned = plan_measured(rules, add_traffic(ArmCounts(), scrapes))
    if planned is None:
        raise NotFoundError(
            f"The traffic of {model} has not been measured for long enough. Try again in some "
            f"seconds, or say how much there is: `driftline rollout plan {model} --rate 20`."
        )
    return planned


def _finite(seconds: float) -> float | None:
    """None where it never ends: JSON has no infinity."""
    return seconds if seconds < float("inf") else None
