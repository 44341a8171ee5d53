"""Rules of `driftline.yaml` about how long the log keeps records: no setting asks for windows that
another one lets expire."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from deploy.config.retention import dead_letters_need, retentions, window_needs
from deploy.config.settings import Settings
from deploy.config.types import Problem
from deploy.config.units import format_duration
from streaming.contracts.errors import ConfigurationError


def _windows_are_kept(settings: Settings) -> Iterator[Problem]:
    kept = settings.retention.windows
    if kept is None:
        return
    for name, model in settings.models.items():
        try:
            needs = window_needs(model)
        except ConfigurationError:  # the model's own check names the reason
            continue
        need = max((need for need in needs if need.key), key=lambda need: need.seconds)
        if kept < need.seconds:
            yield (
                ("retention", "windows"),
                f"{format_duration(kept)} is shorter than {format_duration(need.seconds)}, which "
                f"models.{name}.{need.key} needs ({need.reason}); keep windows at least that long, "
                "or leave retention.windows out.",
            )


def _decisions_outlive_windows(settings: Settings) -> Iterator[Problem]:
    decisions = settings.retention.decisions
    if decisions is None:
        return
    try:
        windows = retentions(settings)["windows"]
    except ConfigurationError:
        return
    if decisions < windows.seconds:
        yield (
            ("retention", "decisions"),
            f"{format_duration(decisions)} is shorter than windows are kept "
            f"({format_duration(windows.seconds)}: {windows.reason}); a verdict would outlive what "
            "it led to.",
        )


def _dead_letters_are_kept(settings: Settings) -> Iterator[Problem]:
    kept = settings.retention.dead_letters
    if kept is None:
        return
    try:
        need = dead_letters_need(settings)
    except ConfigurationError:
        return
    if need.key and kept < need.seconds:
        yield (
            ("retention", "dead_letters"),
            f"{format_duration(kept)} is shorter than {format_duration(need.seconds)}, which "
            f"{need.key} needs ({need.reason}).",
        )


def _brokers(settings: Settings) -> Iterator[Problem]:
    replicas = settings.kafka.replicas
    if replicas > 1 and not settings.kafka.bootstrap:
        yield (
            ("kafka", "replicas"),
            f"{replicas} copies need as many brokers, and the embedded Kafka is one; leave "
            "kafka.replicas out, or set kafka.bootstrap to a cluster.",
        )


def _approvals_are_kept(settings: Settings) -> Iterator[Problem]:
    kept = settings.retention.decisions
    for name, model in settings.models.items():
        deadline = model.rollout.approval_deadline
        if kept is not None and kept <= deadline:
            yield (
                ("retention", "decisions"),
                f"{format_duration(kept)} is no longer than {format_duration(deadline)}, for which "
                f"models.{name}.rollout.approval_deadline keeps a request open: people could not "
                "read what they decide on.",
            )


RETENTION_CHECKS: tuple[Callable[[Settings], Iterator[Problem]], ...] = (
    _windows_are_kept,
    _decisions_outlive_windows,
    _approvals_are_kept,
    _dead_letters_are_kept,
    _brokers,
)
"""Checks of the whole file."""
