"""Refused requests are tried on another server once, by configuration."""

from __future__ import annotations

import re

import pytest

from serving.engines.envoy.clusters import clusters
from serving.engines.envoy.config import EnvoyLayout
from serving.engines.envoy.names import PROTOS, cluster_name
from serving.engines.envoy.refusals import ANSWER_HEADER
from serving.engines.envoy.routes import retry_policy

LAYOUT = EnvoyLayout(model="m")


def test_the_tries_of_every_arm_are_marked_and_no_others() -> None:
    marked = {str(cluster["name"]) for cluster in clusters(LAYOUT) if ANSWER_HEADER in str(cluster)}
    roles = ("stable", "control", "canary")
    assert marked == {cluster_name(f"{role}fb", proto, "m") for role in roles for proto in PROTOS}


@pytest.mark.parametrize(
    ("answer", "again"),
    [
        ("400/-/1", True),
        ("404/-/1", True),
        ("429/-/1", True),
        ("200/3/1", True),
        ("200/12/1", True),
        ("200/0/1", False),
        ("200/-/1", False),
        ("200/16/1", False),
        ("413/-/1", False),
        ("400/-/2", False),  # the second server refused it too
        ("200/3/2", False),
    ],
)
def test_refusals_are_tried_on_another_server(answer: str, again: bool) -> None:
    (match,) = retry_policy(LAYOUT)["retriable_headers"]
    pattern = match["string_match"]["safe_regex"]["regex"]
    assert match["name"] == ANSWER_HEADER
    assert bool(re.fullmatch(pattern, answer)) is again  # Envoy matches the whole value
