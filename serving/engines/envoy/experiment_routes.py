"""Envoy's routes of an experiment: each user meets one arm, testers choose a version.

Envoy itself assigns the users: it hashes the user's header, with the experiment's id put before it
by a rewrite, and the remainder chooses the arm. `streaming.contracts.experiment_assignment` is the
same function, measured against a running Envoy.

- A request without a user, or of a user who takes no part, goes to the champion by the clusters
  that are counted for no arm. No request is assigned at random.
- A request that names a version in `x-driftline-version` gets exactly that version, and no fallback
  to another one. It is counted for no arm. A version that is no arm is refused with 404.
- An arm whose server fails falls back to the champion, as a canary does, and the error is counted.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any, get_args

from serving.engines.envoy.names import ARM_HEADER, Proto, cluster_name
from serving.engines.envoy.slice_routes import arm_cluster
from serving.ports import Arm, ArmShare, ExperimentSplit
from streaming.contracts.experiment_assignment import SHARES

Json = dict[str, Any]

CHOICE_HEADER = "x-driftline-version"
"""Request header by which a tester chooses a version."""
EXPERIMENT_ARM_HEADER = "x-driftline-experiment-arm"
"""Response header with the name of the arm that the user meets."""
OUTSIDE = "outsidefb"
"""Cluster of the predictions that an experiment does not count; the alerts see it like an arm."""
_UNCOUNTED = {"stable": "sparestable", "canary": "mirrorcanary", "control": "mirrorcontrol"}
"""Clusters with an arm's server that are counted for no arm."""
Named = Callable[[str], str]
"""From an arm or server to the name of its cluster."""
_TOKEN = re.compile(r"[A-Za-z0-9_-]+")


def experiment_text(experiment: ExperimentSplit | None) -> str:
    """The experiment as a part of the route version; empty for none.

    >>> arm = ArmShare(name="v2", version=2, share=500, arm="canary")
    >>> experiment_text(ExperimentSplit(salt="a1", header="x-user-id", arms=(arm,)))
    'a1/x-user-id/v2:2:500:canary'
    """
    if experiment is None:
        return ""
    arms = ",".join(
        f"{arm.name}:{arm.version}:{arm.share}:{arm.arm or ''}" for arm in experiment.arms
    )
    return f"{experiment.salt}/{experiment.header}/{arms}"


def read_experiment(text: str) -> ExperimentSplit | None:
    """Parse what `experiment_text` wrote; raises `ValueError` for anything else."""
    if not text:
        return None
    salt, header, arms = text.split("/")
    if not (_TOKEN.fullmatch(salt) and _TOKEN.fullmatch(header)):
        raise ValueError("a salt and a header are needed")
    return ExperimentSplit(
        salt=salt, header=header, arms=tuple(_read_arm(part) for part in arms.split(","))
    )


def _read_arm(text: str) -> ArmShare:
    name, version, share, where = text.split(":")
    arm: Arm | None = next((known for known in get_args(Arm) if known == where), None)
    if where and arm is None:
        raise ValueError(f"{where!r} is no arm")
    return ArmShare(name=name, version=int(version), share=int(share), arm=arm)


def prediction_routes(
    experiment: ExperimentSplit, proto: Proto, *, model: str, match: Json, options: Json
) -> list[Json]:
    """The routes of predictions during an experiment, in the order in which Envoy tries them.

    Parameters
    ----------
    experiment:
        The arms.
    proto, model:
        Protocol and model of the clusters.
    match:
        What matches a prediction.
    options:
        Time limits and retries of a prediction.
    """
    named = partial(cluster_name, proto=proto, model=model)
    chosen = [_chosen(arm, named, match, options) for arm in experiment.arms if arm.arm is not None]
    champion = {"cluster": named(OUTSIDE), **options}
    return [
        *chosen,
        _refusal(experiment, match),
        {
            "match": _with_header(match, experiment.header, ".+"),
            "route": _by_user(experiment, named, options),
        },
        {
            "match": match,
            "route": champion,
            "response_headers_to_add": [added_header(ARM_HEADER, "stable")],
        },
    ]


def _chosen(arm: ArmShare, named: Named, match: Json, options: Json) -> Json:
    """The route of a tester who names the arm's version."""
    assert arm.arm is not None
    return {
        "match": _with_header(match, CHOICE_HEADER, str(arm.version)),
        "route": {
            "cluster": named(_UNCOUNTED[arm.arm]),
            "timeout": options["timeout"],
        },
        "response_headers_to_add": [
            added_header(ARM_HEADER, "chosen"),
            added_header(EXPERIMENT_ARM_HEADER, arm.name),
        ],
    }


def _refusal(experiment: ExperimentSplit, match: Json) -> Json:
    versions = ", ".join(str(arm.version) for arm in experiment.arms if arm.arm is not None)
    text = f'{{"error": "The header {CHOICE_HEADER} must be one of {versions}."}}'
    return {
        "match": _with_header(match, CHOICE_HEADER, ".*"),
        "direct_response": {"status": 404, "body": {"inline_string": text}},
        "response_headers_to_add": [added_header("content-type", "application/json")],
    }


def _by_user(experiment: ExperimentSplit, named: Named, options: Json) -> Json:
    """The arms in their order, and the champion for the users that are left."""
    entries = [_entry(arm, named) for arm in experiment.arms if arm.share]
    left = SHARES - sum(arm.share for arm in experiment.arms)
    if left:
        entries.append(_uncounted(left, named))
    return {
        "weighted_clusters": {"clusters": entries, "use_hash_policy": True},
        "hash_policy": [
            {
                "header": {
                    "header_name": experiment.header,
                    "regex_rewrite": {
                        "pattern": {"regex": "^(.*)$"},
                        "substitution": f"{experiment.salt}|\\1",
                    },
                },
                "terminal": True,
            }
        ],
        **options,
    }


def _entry(arm: ArmShare, named: Named) -> Json:
    if arm.arm is None:
        return _uncounted(arm.share, named)
    return {
        "name": named(arm_cluster(arm.arm)),
        "weight": arm.share,
        "response_headers_to_add": [
            added_header(ARM_HEADER, arm.arm),
            added_header(EXPERIMENT_ARM_HEADER, arm.name),
        ],
    }


def _uncounted(share: int, named: Named) -> Json:
    return {
        "name": named(OUTSIDE),
        "weight": share,
        "response_headers_to_add": [added_header(ARM_HEADER, "stable")],
    }


def _with_header(match: Json, name: str, pattern: str) -> Json:
    header = {"name": name, "string_match": {"safe_regex": {"regex": pattern}}}
    return {**match, "headers": [*match.get("headers", ()), header]}


def added_header(key: str, value: str) -> Json:
    """A response header that Envoy sets."""
    return {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
