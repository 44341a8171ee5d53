"""Why an experiment is refused when it is to be started."""

from __future__ import annotations

from collections.abc import Iterator

from serving.experiment_rules import HEADER_NAME, RESERVED_HEADERS, ExperimentRules
from serving.experiments.arms import MAX_ARMS
from streaming.contracts.experiment_assignment import SHARES, with_id
from streaming.contracts.experiment_records import CHAMPION
from streaming.contracts.records import ExperimentDefinition

MAX_AHEAD_SECONDS = 90 * 86_400.0
"""How far ahead an experiment may begin."""


def refusal(
    definition: ExperimentDefinition,
    *,
    model: str,
    live_version: int,
    rules: ExperimentRules,
    now: float,
) -> str:
    """The first reason for refusing it; empty if there is none."""
    return next(_reasons(definition, model, live_version, rules, now), "")


def _reasons(
    definition: ExperimentDefinition,
    model: str,
    live_version: int,
    rules: ExperimentRules,
    now: float,
) -> Iterator[str]:
    if with_id(definition, model).experiment_id != definition.experiment_id:
        yield "The experiment's id is not that of its text."
    yield from _wrong_arms(definition, live_version)
    length = definition.end - definition.begin
    if definition.end <= max(definition.begin, now):
        yield "The experiment's end is over, or is not after its beginning."
    if length > rules.max_seconds:
        yield (
            f"The experiment lasts {length / 86_400:.3g} days; at most "
            f"{rules.max_seconds / 86_400:.3g} are allowed (experiments.max_duration)."
        )
    if definition.begin > now + MAX_AHEAD_SECONDS:
        yield "The experiment begins more than 90 days ahead."
    if not 0 < definition.alpha <= 0.2 or definition.minimum_effect <= 0:
        yield "alpha must be above 0 and at most 0.2, and the smallest effect above 0."
    if definition.metric not in rules.metrics:
        yield f"A model of this task is compared by {', '.join(rules.metrics)}."
    if definition.metric == "loss" and not 0 < definition.loss_scale < float("inf"):
        yield "The metric loss needs the champion's mean loss as its scale."
    if definition.user_seconds <= 0 or definition.label_seconds < 0 or definition.min_users < 50:
        yield "The time of a user must be above 0, and min_users at least 50."
    if definition.errors_pp <= 0 or definition.slow_pp <= 0:
        yield "The guardrails' tolerated excess must be above 0."
    header = definition.user_header
    if not HEADER_NAME.fullmatch(header) or header.startswith(RESERVED_HEADERS):
        yield f"{header!r} cannot be the header with the user."
    if not definition.user_field:
        yield "The field with the user has no name."


def _wrong_arms(definition: ExperimentDefinition, live_version: int) -> Iterator[str]:
    arms = definition.arms
    if not 2 <= len(arms) <= MAX_ARMS:
        yield (
            f"An experiment has 2 to {MAX_ARMS} arms with the champion's, one for each model "
            f"server; this has {len(arms)}."
        )
        return
    if arms[0].name != CHAMPION or arms[0].version != live_version:
        yield (
            f"Conflict: version {live_version} is live, not version {arms[0].version}; the first "
            "arm must be the champion."
        )
    if any(arm.name != f"v{arm.version}" or arm.version < 1 for arm in arms[1:]):
        yield "The other arms must be named after their versions, for example v7."
    if len({arm.version for arm in arms}) < len(arms):
        yield "Two arms have the same version."
    if min(arm.share for arm in arms) < 1 or sum(arm.share for arm in arms) > SHARES:
        yield "Every arm needs a share of at least 0.01 %, and they add up to at most 100 %."
