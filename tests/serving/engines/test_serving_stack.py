"""Canary releases on real Envoy and Prometheus: nothing is lost or hidden, and ejection is fast."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc
import httpx
import pytest

from serving import handlers
from serving.engines.envoy.config import SPLIT_HEADER, split_text
from serving.engines.envoy.names import ARM_HEADER
from serving.engines.envoy.refusals import ANSWER_HEADER
from serving.engines.memory import InMemoryAnswers, InMemoryModelServers, InMemoryReferences
from serving.phase import Phase
from serving.ports import ALL_STABLE, Arm, ArmCounters, Scrape, ServingPorts, TrafficSplit
from serving.rules import RolloutRules
from serving.state import RolloutState
from streaming.contracts.records import CanaryVerdict, Record
from tests.background import Background
from tests.serving.engines.serving_stack import PREDICT_PATH, ROLES, ServingStack
from tests.serving.rollout_simulation import version
from tests.waiting import wait_for

pytestmark = pytest.mark.engine

QUARTER = TrafficSplit(stable=50, control=25, canary=25)


@pytest.fixture(autouse=True)
def _healthy(serving_stack: ServingStack) -> None:
    """Every test begins with all servers healthy and all traffic on stable."""
    for role in ROLES:
        if role not in serving_stack.running:
            serving_stack.start(role)
        serving_stack.fault(role)
    serving_stack.route(ALL_STABLE)
    serving_stack.wait_until_healthy()


def counters_of(scrape: Scrape, arm: Arm) -> ArmCounters:
    return next(counters for counters in scrape.arms if counters.arm == arm)


@contextmanager
def counted(stack: ServingStack, arm: Arm) -> Iterator[dict[str, int]]:
    """The counts that Prometheus has for the arm inside the block; filled at its end."""
    before = counters_of(stack.settled_scrape(), arm)
    counts: dict[str, int] = {}
    yield counts
    after = counters_of(stack.settled_scrape(), arm)
    for name in ("requests", "errors", "timed", "slow"):
        counts[name] = getattr(after, name) - getattr(before, name)


def test_requests_follow_the_weights_that_envoy_confirms(serving_stack: ServingStack) -> None:
    serving_stack.route(QUARTER)
    traffic = serving_stack.traffic(4)
    assert traffic.failed == 0
    for arm, share in (("stable", 0.5), ("control", 0.25), ("canary", 0.25)):
        assert abs(traffic.by_arm(arm) / traffic.total - share) < 0.1


def test_responses_name_the_arm_and_the_split(serving_stack: ServingStack) -> None:
    serving_stack.route(QUARTER)
    url = f"http://127.0.0.1:{serving_stack.layout.port}{PREDICT_PATH}"
    headers = httpx.post(url, json={}).headers
    assert headers[ARM_HEADER] in ROLES
    assert headers[SPLIT_HEADER] == split_text(QUARTER)


def test_an_invalid_route_file_is_rejected_and_changes_nothing(
    serving_stack: ServingStack,
) -> None:
    serving_stack.route(QUARTER)
    pattern = r"^http\.serving\.rds\.serving\.update_(rejected|failure)$"
    rejected = sum(serving_stack.envoy_counters(pattern).values())
    path = serving_stack.folder / "envoy" / "rds.json"
    temporary = path.with_name("bad")
    temporary.write_text('{"version_info": "bad", "resources": [{"@type": "nonsense"}]}')
    temporary.rename(path)
    wait_for(lambda: sum(serving_stack.envoy_counters(pattern).values()) > rejected)
    assert serving_stack.router.current_split() == QUARTER
    assert serving_stack.traffic(1).failed == 0


@pytest.mark.parametrize("proto", ["rest", "grpc"])
def test_a_killed_canary_causes_no_client_error_and_is_counted(
    serving_stack: ServingStack, proto: str
) -> None:
    serving_stack.route(QUARTER)
    with counted(serving_stack, "canary") as counts:
        traffic = serving_stack.traffic(6, proto=proto, midway=lambda: serving_stack.kill("canary"))
    assert traffic.failed == 0
    # Stable answered the second half of the canary's requests.
    assert 0.35 < counts["errors"] / counts["requests"] < 0.65


@pytest.mark.parametrize("proto", ["rest", "grpc"])
def test_a_hung_canary_causes_no_client_error(serving_stack: ServingStack, proto: str) -> None:
    serving_stack.route(QUARTER)
    canary = serving_stack.running["canary"]
    try:
        traffic = serving_stack.traffic(
            4, proto=proto, midway=lambda: canary.send_signal(signal.SIGSTOP)
        )
    finally:
        canary.send_signal(signal.SIGCONT)
    assert traffic.failed == 0


@pytest.mark.parametrize(
    ("proto", "fault"),
    [
        ("rest", {"status": 503}),
        ("rest", {"status": 400}),
        ("grpc", {"code": "INTERNAL"}),
        ("grpc", {"code": "INVALID_ARGUMENT"}),
        ("grpc", {"code": "UNIMPLEMENTED"}),
    ],
)
def test_every_kind_of_failure_is_counted(
    serving_stack: ServingStack, proto: str, fault: dict[str, object]
) -> None:
    serving_stack.route(QUARTER)
    serving_stack.fault("canary", **fault)
    with counted(serving_stack, "canary") as counts:
        serving_stack.traffic(3, proto=proto)
    assert counts["requests"] > 40
    assert counts["errors"] == pytest.approx(counts["requests"], abs=2)


REFUSALS: list[tuple[str, dict[str, object]]] = [
    ("rest", {"status": 400}),
    ("rest", {"status": 404}),
    ("grpc", {"code": "INVALID_ARGUMENT"}),
    ("grpc", {"code": "NOT_FOUND"}),
]


@pytest.mark.parametrize(("proto", "fault"), REFUSALS)
def test_what_the_canary_alone_refuses_is_answered_by_another_server(
    serving_stack: ServingStack, proto: str, fault: dict[str, object]
) -> None:
    """A server that comes back with another signature, or without its version."""
    serving_stack.route(QUARTER)
    serving_stack.fault("canary", **fault)
    assert serving_stack.traffic(3, proto=proto).failed == 0


@pytest.mark.parametrize(("proto", "fault"), REFUSALS[::2])
def test_what_every_server_refuses_is_one_error_and_is_tried_twice(
    serving_stack: ServingStack, proto: str, fault: dict[str, object]
) -> None:
    """The client's own error."""
    serving_stack.route(QUARTER)
    for role in ROLES:
        serving_stack.fault(role, **fault)
    retries = rf"^cluster\.canaryfb_{proto}__[^.]+\.upstream_rq_retry$"
    before = sum(serving_stack.envoy_counters(retries).values())
    with counted(serving_stack, "canary") as counts:
        traffic = serving_stack.traffic(3, proto=proto)
    assert traffic.failed == traffic.total
    assert counts["errors"] == pytest.approx(counts["requests"], abs=3)
    tried_again = sum(serving_stack.envoy_counters(retries).values()) - before
    assert tried_again <= counts["requests"]


def test_clients_do_not_see_the_mark_of_an_answer(serving_stack: ServingStack) -> None:
    url = f"http://127.0.0.1:{serving_stack.layout.port}{PREDICT_PATH}"
    assert ANSWER_HEADER not in httpx.post(url, json={}).headers


def test_status_and_metadata_requests_count_for_no_arm(serving_stack: ServingStack) -> None:
    """A canary must not be promoted by health checks."""
    serving_stack.route(QUARTER)
    address = f"127.0.0.1:{serving_stack.layout.port}"
    path = PREDICT_PATH.removesuffix(":predict")
    with (
        counted(serving_stack, "canary") as canary,
        counted(serving_stack, "control") as control,
        counted(serving_stack, "stable") as stable,
        httpx.Client(base_url=f"http://{address}") as client,
        grpc.insecure_channel(address) as channel,
    ):
        metadata = channel.unary_unary(
            "/tensorflow.serving.PredictionService/GetModelMetadata",
            request_serializer=bytes,
            response_deserializer=bytes,
        )
        for _ in range(40):
            assert client.get(path).json()["model_version_status"][0]["state"] == "AVAILABLE"
            client.get(f"{path}/metadata")
            client.get(PREDICT_PATH)
            metadata(b"", timeout=5.0)
        for _ in range(20):
            client.post(f"{PREDICT_PATH}?pretty=1", json={})
    requests = canary["requests"] + control["requests"] + stable["requests"]
    assert requests == 20
    assert canary["errors"] == control["errors"] == stable["errors"] == 0


def test_an_overloaded_serving_stack_does_not_get_twice_the_load(
    serving_stack: ServingStack,
) -> None:
    """Unlimited retries would keep servers busy that a burst of work had slowed down."""
    before = serving_stack.upstream_requests()
    for role in ROLES:
        serving_stack.fault(role, ms=1500)  # five times the time after which Envoy retries
    traffic = serving_stack.traffic(4, rate=150)
    assert traffic.failed == 0
    retries = serving_stack.upstream_requests() - before - traffic.total
    # 20 % of about 280 active requests are 56 concurrent retries of 1.5 s, over 5.5 s: about 0.34
    # of the requests, and more where a busy machine makes clients wait longer than 1.5 s.
    # Without a budget it would be at least 1.
    slowness = max(1.0, traffic.seconds / (1.5 * traffic.total))
    assert 0 < retries < min(0.45 * slowness, 0.9) * traffic.total


def test_copies_are_counted_separately_and_do_not_affect_clients(
    serving_stack: ServingStack,
) -> None:
    serving_stack.route(TrafficSplit(mirror=25))
    serving_stack.fault("canary", ms=250)
    with counted(serving_stack, "mirror-canary") as counts:
        traffic = serving_stack.traffic(4)
    assert traffic.failed == 0
    assert traffic.by_arm("stable") == traffic.total
    assert counts["requests"] == pytest.approx(0.25 * traffic.total, rel=0.35)
    assert counts["slow"] == pytest.approx(counts["timed"], abs=2)
    assert counts["timed"] > 40


@dataclass
class ControllerThread(Background):
    """The rollout controller on a thread, as the daemon runs it."""

    stack: ServingStack
    rules: RolloutRules
    state: RolloutState = field(default_factory=lambda: RolloutState(model="m"))
    records: list[Record] = field(default_factory=list)
    splits: list[tuple[float, TrafficSplit]] = field(default_factory=list)
    """Every new split with the time at which it was first observed."""

    def work(self) -> None:
        """Tick every 0.5 s; version 2 is published once version 1 is live."""
        ports = ServingPorts(
            router=self.stack.router,
            servers=InMemoryModelServers(store={1, 2}),
            metrics=self.stack.metrics,
            references=InMemoryReferences(),
            answers=InMemoryAnswers(),
        )
        published = 0
        while not self._stop.wait(0.5):
            now = time.time()
            if published < 2 and self.live_version == published:
                published += 1
                record = version(published)
                self.state = handlers.handle(self.state, record, rules=self.rules, now=now).state
            observed = handlers.observe(ports, self.state, now=now)
            transition = handlers.tick(self.state, observed, rules=self.rules, now=now)
            self.state = transition.state
            handlers.perform(transition.actions, ports)
            split = ports.router.current_split()
            if not self.splits or self.splits[-1][1] != split:
                self.splits.append((time.time(), split))
            self.records += transition.records

    @property
    def live_version(self) -> int:
        return self.state.live.version if self.state.live is not None else 0

    @property
    def outcomes(self) -> list[str]:
        """Outcomes of the verdicts so far."""
        return [record.outcome for record in self.records if isinstance(record, CanaryVerdict)]

    def wait_for_weight(self, weight: int) -> None:
        """Wait until the canary had this weight."""
        wait_for(lambda: any(split.canary == weight for _, split in self.splits))


def test_a_slow_canary_is_ejected_within_ten_seconds_without_client_errors(
    serving_stack: ServingStack,
) -> None:
    rules = RolloutRules(
        steps=(10, 50), hold_seconds=600.0, deadline_seconds=600.0, approval="never"
    )
    controller = ControllerThread(serving_stack, rules)
    with controller.running():
        controller.wait_for_weight(10)
        failed = serving_stack.traffic(4).failed
        slow_at = time.time()
        serving_stack.fault("canary", ms=300)
        failed += serving_stack.traffic(120, until=lambda: controller.state.rollout is None).failed
    ejected_at = next(at for at, split in controller.splits if split.canary == 0 and at > slow_at)
    assert ejected_at - slow_at < 10.0
    assert failed == 0
    assert "fail" in controller.outcomes
    assert controller.state.rollout is None
    assert controller.live_version == 1
    print(f"ejected after {ejected_at - slow_at:.1f} s")  # noqa: T201


def test_a_good_canary_is_promoted_although_it_was_killed_once(
    serving_stack: ServingStack,
) -> None:
    rules = RolloutRules(
        steps=(20, 50),
        hold_seconds=5.0,
        bake_seconds=2.0,
        errors_pp=5.0,
        slow_share=0.1,
        stale_seconds=8.0,
        approval="never",
    )
    controller = ControllerThread(serving_stack, rules)
    with controller.running():
        controller.wait_for_weight(20)
        failed = serving_stack.traffic(3).failed
        serving_stack.kill("canary")
        failed += serving_stack.traffic(
            30, until=lambda: controller.state.phase is Phase.EJECTED
        ).failed
        serving_stack.start("canary")
        failed += serving_stack.traffic(240, until=lambda: controller.live_version == 2).failed
    assert failed == 0
    assert controller.live_version == 2
    assert "fail" not in controller.outcomes
