"""What a person is shown before a version is let on: exactly the version that the command names."""

from __future__ import annotations

from collections.abc import Iterator

from deploy.views.escapes import one_line
from streaming.contracts.records import CanaryVerdict, ModelVersion


def review_lines(version: ModelVersion, verdict: CanaryVerdict | None) -> Iterator[str]:
    """The version with its digest, its evaluation, and the newest verdict of its rollout.

    Parameters
    ----------
    version:
        The version that goes on.
    verdict:
        The newest verdict of its rollout; None before the first.
    """
    yield one_line(f"version {version.version} of {version.model}")
    yield one_line(f"digest of its files {version.artifact.digest}")
    yield one_line(f"trained on {version.training_rows} rows: {version.reason}".rstrip(": "))
    for metric in version.evaluation:
        where = f" on {metric.slice}" if metric.slice else ""
        interval = ""
        if metric.low is not None and metric.high is not None:
            interval = f"{metric.low:.3f} to {metric.high:.3f}, "
        champion = "" if metric.champion is None else f", champion {metric.champion:.3f}"
        yield one_line(
            f"{metric.name}{where} {metric.value:.3f} ({interval}n {metric.n}{champion})"
        )
    if verdict is None:
        yield "no verdict on its canary yet"
        return
    yield one_line(
        f"canary at {verdict.weight} %: {verdict.outcome}, {verdict.requests} requests: "
        f"{verdict.reason}"
    )
