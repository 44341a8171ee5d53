"""The limits of a version in a real server, in words."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.engine


def reason(load: float = 1.0, warm: float = 0.01, per_core: float = 0.5) -> str:
    """What is said of a version that was measured so; importing TFX takes seconds."""
    from retrain.engines.tfx.infra_validation import ServingLimits, exceeded_limit
    from retrain.engines.tfx.server_check import ServingCheck

    measured = ServingCheck(
        load_seconds=load,
        warm_predict_seconds=warm,
        worst_predict_seconds=warm,
        rows=1,
        largest_difference=0.0,
        load_per_core=per_core,
    )
    return exceeded_limit(measured, ServingLimits())


@pytest.mark.parametrize(
    ("measured", "expected"),
    [
        ({}, ""),
        ({"load": 5.0, "warm": 0.2}, ""),
        ({"load": 6.1}, "it took 6.1 s to become available; at most 5 s are allowed"),
        ({"warm": 0.3}, "a warm prediction took 300 ms; at most 200 ms are allowed"),
        ({"per_core": 9.0}, ""),
    ],
)
def test_the_limit_that_is_exceeded_is_named(measured: dict[str, float], expected: str) -> None:
    assert reason(**measured) == expected


def test_a_busy_machine_is_named() -> None:
    busy = "(the machine was busy: 5.6 processes for each core)"
    assert busy in reason(load=6.1, per_core=5.6)
    assert busy in reason(warm=0.3, per_core=5.6)
