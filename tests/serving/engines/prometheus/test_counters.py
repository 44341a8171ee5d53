"""Running totals of one Envoy: addresses, lost counters, other Envoys, restarts."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.counts import add, add_scrapes, begin_run
from serving.engines.prometheus.counters import EnvoyCounters, Sample
from serving.engines.prometheus.promql import to_scrapes
from serving.ports import Scrape
from serving.rules import RolloutRules
from serving.state import ArmCounts, Block
from streaming.contracts.errors import UnavailableError

RULES = RolloutRules(warm_seconds=0.0)
COMPLETED = "envoy_cluster_upstream_rq_completed"
SERVED = "envoy_cluster_endpoint_rq_success"


def scrape(
    at: float,
    requests: int,
    *,
    served: dict[str, int] | None = None,
    up: float | None = None,
    instance: str = "ours:9901",
    without: tuple[str, str] = ("", ""),
) -> list[Sample]:
    """Both arms with the same requests; `served` by address of the canary's server."""
    by_address = {"10.0.0.1": requests} if served is None else served
    series: list[tuple[str, str, str, float]] = []
    for arm in ("canary", "control"):
        series.append((COMPLETED, f"{arm}fb_rest", "", requests))
        series.append(("envoy_cluster_upstream_rq_time_count", f"{arm}fb_rest", "", requests))
        series.append(("envoy_cluster_upstream_rq_time_bucket", f"{arm}fb_rest", "", requests))
    series += [(SERVED, "canary_rest__m", address, n) for address, n in by_address.items()]
    series.append((SERVED, "control_rest__m", "10.0.0.9", requests))
    samples = [
        Sample(
            {
                "__name__": name,
                "envoy_cluster_name": cluster,
                "envoy_endpoint_address": address,
                "instance": instance,
            },
            at,
            float(value),
        )
        for name, cluster, address, value in series
        if (name, cluster) != without
    ]
    uptime = at + 5_000.0 if up is None else up
    return [Sample({"__name__": "envoy_server_uptime", "instance": instance}, at, uptime), *samples]


def counted(scrapes: list[list[Sample]], counters: EnvoyCounters | None = None) -> Block:
    """Everything that was counted, as one block."""
    counters = counters or EnvoyCounters()
    read: dict[float, Scrape] = {}
    for samples in scrapes:
        read |= {each.at: each for each in to_scrapes(counters.add(samples))}
    counts = add_scrapes(begin_run(ArmCounts(), step=0), read.values(), since=0.0, rules=RULES)
    total: Block = counts.open_block or Block(1, 0)
    for block in counts.blocks:
        total = add(total, block)
    return total


@pytest.mark.parametrize("before", [7, 300, 41_696])
@pytest.mark.parametrize("gone", [True, False])
def test_a_server_that_returns_under_a_new_address_has_no_false_errors(
    before: int, gone: bool
) -> None:
    scrapes = [scrape(float(t), before + 10 * t) for t in range(5)]
    old = before + 40
    for t in range(5, 30):
        new = 10 * (t - 4)
        served = {"10.0.0.2": new} if gone else {"10.0.0.1": old, "10.0.0.2": new}
        scrapes.append(scrape(float(t), before + 10 * t, served=served))
    block = counted(scrapes)
    assert (block.n1, block.errors1, block.errors0) == (290, 0, 0)


@pytest.mark.parametrize(
    "without",
    [
        (COMPLETED, "canaryfb_rest__m"),
        (COMPLETED, "controlfb_rest__m"),
        (SERVED, "canary_rest__m"),
        (SERVED, "control_rest__m"),
        ("envoy_cluster_upstream_rq_time_count", "canaryfb_rest__m"),
        ("envoy_cluster_upstream_rq_time_bucket", "controlfb_rest__m"),
    ],
)
@pytest.mark.parametrize("at", [0, 1, 10, 15, 29])
def test_a_counter_that_is_missing_in_a_scrape_adds_nothing(
    without: tuple[str, str], at: int
) -> None:
    scrapes = [
        scrape(float(t), 41_696 + 10 * t, without=without if t == at else ("", ""))
        for t in range(30)
    ]
    block = counted(scrapes)
    assert block.n1 == block.n0
    assert 230 <= block.n1 <= 290
    assert (block.errors1, block.errors0, block.slow1, block.slow0) == (0, 0, 0, 0)


def test_another_envoy_is_not_counted_where_ours_is_known() -> None:
    scrapes = []
    for t in range(20):
        theirs = scrape(t + 0.4, 269_500 + 900 * t, up=90_000.0 + t, instance="theirs:9901")
        scrapes.append([*scrape(float(t), 6 * t), *theirs])
    block = counted(scrapes, EnvoyCounters("ours:9901"))
    assert (block.n1, block.n0) == (114, 114)


@pytest.mark.parametrize("window", [1, 2, 5])
@pytest.mark.parametrize("up", [90_000.0, 5_000.4])
def test_two_envoys_are_refused_where_ours_is_not_known(window: int, up: float) -> None:
    counters = EnvoyCounters()

    def read_all() -> None:
        for start in range(0, 20, window):
            samples = []
            for t in range(start, start + window):
                samples += scrape(float(t), 6 * t)
                samples += scrape(t + 0.4, 900 * t, up=up + t, instance="theirs:9901")
            counters.add(samples)

    with pytest.raises(UnavailableError, match="Two Envoys"):
        read_all()


def test_sidecars_without_requests_of_the_arms_are_ignored() -> None:
    scrapes = [
        [
            *scrape(float(t), 6 * t),
            Sample({"__name__": "envoy_server_uptime", "instance": "sidecar"}, t + 0.4, 70.0 + t),
        ]
        for t in range(20)
    ]
    assert counted(scrapes).n1 == 114


def test_a_router_under_a_new_address_goes_on_from_its_first_scrape() -> None:
    scrapes = [scrape(float(t), 500 + 10 * t) for t in range(10)]
    scrapes += [
        scrape(
            float(t), 10 * (t - 12), up=t - 12.0, instance="moved:9901", served={"a": 10 * (t - 12)}
        )
        for t in range(13, 30)
    ]
    block = counted(scrapes)
    assert block.errors1 == 0
    assert block.n1 == 90 + 160


@settings(deadline=None)
@given(st.integers(0, 5_000), st.lists(st.integers(0, 30), min_size=8, max_size=40))
def test_samples_that_are_read_again_are_counted_once(before: int, traffic: list[int]) -> None:
    total, scrapes = before, []
    for t, more in enumerate(traffic):
        total += more
        scrapes.append(scrape(float(t), total))
    twice = [[*a, *b] for a, b in pairwise(scrapes)]
    assert counted(scrapes) == counted(twice)
