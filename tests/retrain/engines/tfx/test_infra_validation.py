"""The limits of a version in a real server, in words."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.engine


def reason(load: float = 1.0, warm: float = 0.01, per_core: float = 0.2) -> str:
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


@pytest.mark.parametrize(
    ("loads", "busy", "tries", "seconds"),
    [
        ([1.0], 0.0, 1, 1.0),
        ([6.0, 5.5, 1.0], 0.2, 2, 5.5),  # a slow model is slow twice
        ([6.0, 6.0, 1.0], 0.8, 3, 1.0),
        ([6.0, 1.0], 9.0, 2, 1.0),
        ([6.0, 6.0, 6.0, 4.9], 9.0, 4, 4.9),
        ([6.0, 6.0, 6.0, 6.0, 5.1, 1.0], 9.0, 5, 5.1),
    ],
)
def test_on_a_busy_machine_a_slow_version_is_measured_again(
    loads: list[float], busy: float, tries: int, seconds: float
) -> None:
    from retrain.engines.tfx.infra_validation import ServingLimits, _best
    from retrain.engines.tfx.server_check import ServingCheck

    left = iter(loads)
    pauses: list[float] = []

    def measure() -> ServingCheck:
        return ServingCheck(
            load_seconds=next(left),
            warm_predict_seconds=0.01,
            worst_predict_seconds=0.01,
            rows=1,
            largest_difference=0.0,
            load_per_core=busy,
        )

    assert _best(measure, ServingLimits(), pauses.append).load_seconds == seconds
    assert len(loads) - len(list(left)) == tries
    assert len(pauses) == max(0, tries - 2)


@pytest.mark.parametrize(("columns", "refused"), [(20, True), (200, False)])
def test_a_model_of_many_columns_may_take_longer_to_load(columns: int, refused: bool) -> None:
    from retrain.engines.tfx.infra_validation import ServingLimits, exceeded_limit
    from retrain.engines.tfx.server_check import ServingCheck

    measured = ServingCheck(
        load_seconds=12.0, warm_predict_seconds=0.01, worst_predict_seconds=0.01, rows=1,
        largest_difference=0.0, load_per_core=0.1,
    )  # fmt: skip
    reason = exceeded_limit(measured, ServingLimits.of_columns(columns))
    assert ("at most 5 s are allowed" in reason) is refused
