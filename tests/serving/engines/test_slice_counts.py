"""Requests by slice on real Envoy and Prometheus: every arm's slices are counted apart."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from serving.ports import ALL_STABLE, Arm, ArmCounters, TrafficSplit
from tests.serving.engines.serving_stack import SLICES, ServingStack

pytestmark = pytest.mark.engine

HALVES = TrafficSplit(stable=0, control=50, canary=50)
TENANTS = ("acme", "big_corp.example", "unknown", "")
ACME, BIG = SLICES.values


@pytest.fixture(autouse=True)
def _healthy(serving_stack: ServingStack) -> None:
    for role in ("stable", "control", "canary"):
        serving_stack.fault(role)
    serving_stack.route(ALL_STABLE)
    serving_stack.wait_until_healthy()


@contextmanager
def counted(stack: ServingStack) -> Iterator[dict[tuple[Arm, str], dict[str, int]]]:
    """The counts of each arm and slice inside the block; the arm's own under the empty name."""
    before = _counts(stack.settled_scrape().arms)
    counts: dict[tuple[Arm, str], dict[str, int]] = {}
    yield counts
    for key, after in _counts(stack.settled_scrape().arms).items():
        old = before.get(key, {})
        counts[key] = {name: value - old.get(name, 0) for name, value in after.items()}


def _counts(arms: tuple[ArmCounters, ...]) -> dict[tuple[Arm, str], dict[str, int]]:
    names = ("requests", "errors", "timed", "slow")
    return {
        (arm.arm, name): {field: getattr(counters, field) for field in names}
        for arm in arms
        for name, counters in (("", arm), *((part.name, part) for part in arm.slices))
    }


@pytest.mark.parametrize("proto", ["rest", "grpc"])
def test_each_slice_is_counted_in_the_arm_that_got_it(
    serving_stack: ServingStack, proto: str
) -> None:
    serving_stack.route(HALVES)
    with counted(serving_stack) as counts:
        traffic = serving_stack.traffic(3, proto=proto, tenants=TENANTS)
    assert traffic.failed == 0
    for name in SLICES.values:
        of_slice = counts["control", name]["requests"] + counts["canary", name]["requests"]
        assert of_slice == traffic.total / len(TENANTS)
        assert counts["canary", name]["errors"] == 0
        assert counts["canary", name]["timed"] == counts["canary", name]["requests"]
    # what is of no slice is in the arm's own counts
    total = counts["control", ""]["requests"] + counts["canary", ""]["requests"]
    assert total == traffic.total
    assert {name for _, name in counts} == {"", *SLICES.values}


@pytest.mark.parametrize(
    ("proto", "fault"),
    [
        ("rest", {"status": 503}),
        ("rest", {"status": 400}),
        ("grpc", {"code": "INTERNAL"}),
        ("grpc", {"code": "INVALID_ARGUMENT"}),
    ],
)
def test_a_slice_that_fails_wholly_is_counted_though_its_clients_get_answers(
    serving_stack: ServingStack, proto: str, fault: dict[str, object]
) -> None:
    serving_stack.route(HALVES)
    serving_stack.fault("canary", tenant=ACME, **fault)
    tenants = (ACME, *[BIG] * 8)  # hardly ever three in a row: Envoy would eject the canary
    with counted(serving_stack) as counts:
        serving_stack.traffic(6, proto=proto, tenants=tenants)
    failed = counts["canary", ACME]
    assert failed["requests"] > 20
    assert failed["errors"] == pytest.approx(failed["requests"], abs=2)
    assert counts["control", ACME]["errors"] == 0
    assert counts["canary", BIG]["errors"] == 0


def test_slow_responses_of_a_slice_are_counted(serving_stack: ServingStack) -> None:
    serving_stack.route(HALVES)
    serving_stack.fault("canary", tenant=ACME, ms=240)
    with counted(serving_stack) as counts:
        serving_stack.traffic(3, tenants=(ACME, BIG))
    slow = counts["canary", ACME]
    assert slow["requests"] > 50
    assert slow["slow"] == pytest.approx(slow["requests"], abs=2)
    assert counts["control", ACME]["slow"] < 5
    assert counts["canary", BIG]["slow"] < 5
