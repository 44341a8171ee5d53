"""Names of Envoy's clusters: arm, protocol and model, told apart again in the names of metrics.

The arm comes first, and a model's name may hold anything but a dot, at which Envoy would cut it.
"""

from __future__ import annotations

from typing import Literal

from serving.engines.envoy.slice_routes import NAMES

ARM_HEADER = "x-driftline-arm"
"""Header of a response: the arm that the request was routed to."""

Proto = Literal["rest", "grpc"]
PROTOS: tuple[Proto, ...] = ("rest", "grpc")

CLUSTER_LABELS = (
    "(stable|control|canary|outside|shadow|mirrorcontrol|mirrorcanary)"
    f"(?:fb{NAMES})?_(grpc|rest)__.+"
)
"""A regular expression for the clusters of arms, as Prometheus reads it: role and protocol."""
SLICE_LABELS = "(?:stable|control|canary)fb-([^_]+)_(?:grpc|rest)__.+"
"""The same for the clusters of slices: the slice."""


def model_in_names(model: str) -> str:
    """A model's name as it stands in the names of clusters and files.

    >>> model_in_names("Big.Tipper-2")
    'Big_Tipper-2'
    """
    return model.replace(".", "_")


def cluster_name(arm: str, proto: Proto, model: str) -> str:
    """The name of a cluster.

    >>> cluster_name("canaryfb", "rest", "big_tipper")
    'canaryfb_rest__big_tipper'
    """
    return f"{arm}_{proto}__{model_in_names(model)}"


def arm_and_model(cluster: str) -> tuple[str, str]:
    """The arm of a cluster, and its model as `model_in_names` writes it.

    >>> arm_and_model("canaryfb_rest__big__tipper")
    ('canaryfb', 'big__tipper')
    """
    head, _, model = cluster.partition("__")
    return head.rpartition("_")[0], model
