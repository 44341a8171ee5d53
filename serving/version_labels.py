"""Users' own labels: names that are bound to versions of a model, beside the arms of a rollout.

One server per model holds the labelled versions and nothing else, so a label never changes what an
arm serves. Its configuration goes to what is wanted in steps that leave no label without a version:
load the new versions, move the labels once they are available, then unload what no label names.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from msgspec import field

from streaming.contracts.base import Value

RESERVED = ("stable", "canary")
"""Labels of the arms: Envoy sends their requests to the arm's server."""


class LabelConfig(Value, frozen=True, kw_only=True):
    """What the server is told to hold."""

    versions: tuple[int, ...] = ()
    labels: dict[str, int] = field(default_factory=dict)


def next_config(
    current: LabelConfig, available: Collection[int], target: Mapping[str, int]
) -> LabelConfig | None:
    """The next step of the server's configuration; None when it is what is wanted, or loading.

    Parameters
    ----------
    current:
        What the server holds now: versions that are loaded or loading, and its labels.
    available:
        The versions that answer requests.
    target:
        The version of each label. Those that cannot be loaded should be left out.

    >>> step = next_config(LabelConfig(versions=(1,), labels={"old": 1}), {1}, {"old": 2})
    >>> step.versions, step.labels  # the new version is loaded first
    ((1, 2), {'old': 1})
    >>> step = next_config(step, {1, 2}, {"old": 2})
    >>> step.versions, step.labels  # then the label moves
    ((1, 2), {'old': 2})
    >>> step = next_config(step, {1, 2}, {"old": 2})
    >>> step.versions, step.labels  # at last nobody needs the old version
    ((2,), {'old': 2})
    >>> next_config(step, {2}, {"old": 2}) is None
    True
    """
    bound: dict[str, int] = {}
    for label, version in target.items():
        if version in available:
            bound[label] = version
        elif current.labels.get(label) in available:
            bound[label] = current.labels[label]
    needed = tuple(sorted({*target.values(), *bound.values()}))
    if bound != current.labels:
        versions = tuple(sorted({*current.versions, *needed}))
        return LabelConfig(versions=versions, labels=bound)
    if set(needed) != set(current.versions):
        return LabelConfig(versions=needed, labels=bound)
    return None
