"""Real Envoy, real Prometheus, toy servers: nothing is lost, nothing is hidden, and it is quick."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from serving import handlers
from serving.engines.memory import MemoryReferences, MemoryServers
from serving.ports import ALL_STABLE, Arm, ArmCounters, Ports, Scrape, Split
from serving.rules import RolloutRules
from serving.state import RolloutState
from streaming.contracts.records import Artifact, CanaryVerdict, ModelVersion, Record
from tests.serving.engines.serving_stack import ROLES, Street, Traffic
from tests.waiting import wait_for

pytestmark = pytest.mark.engine

QUARTER = Split(stable=50, control=25, canary=25)


@pytest.fixture(autouse=True)
def _well(street: Street) -> None:
    for role in ("stable", "control", "canary"):
        if role not in street.running:
            street.start(role)
        street.fault(role)
    route(street, ALL_STABLE)


def route(street: Street, split: Split) -> float:
    """Apply and wait until Envoy confirms; seconds."""
    splitter = street.splitter
    began = time.monotonic()
    splitter.apply(split)
    wait_for(lambda: splitter.live() == split)
    return time.monotonic() - began


def of(scrape: Scrape, arm: Arm) -> ArmCounters:
    return next(counters for counters in scrape.arms if counters.arm == arm)


@contextmanager
def counting(street: Street, arm: Arm) -> Iterator[dict[str, int]]:
    """What Prometheus says the arm had inside the block."""
    metrics = street.metrics
    time.sleep(2.2)
    before = of(metrics.scrapes(since=time.time() - 5, now=time.time())[-1], arm)
    found: dict[str, int] = {}
    yield found
    time.sleep(2.2)
    after = of(metrics.scrapes(since=time.time() - 5, now=time.time())[-1], arm)
    for name in ("requests", "errors", "timed", "slow"):
        found[name] = getattr(after, name) - getattr(before, name)


def test_weights_are_live_within_a_second_and_requests_follow_them(street: Street) -> None:
    assert route(street, QUARTER) < 1.0
    seen = street.traffic(4)
    assert seen.failed == 0
    for arm, share in (("stable", 0.5), ("control", 0.25), ("canary", 0.25)):
        assert abs(seen.by_arm(arm) / seen.total - share) < 0.1


def test_a_bad_route_file_changes_nothing_and_is_noticed(street: Street) -> None:
    route(street, QUARTER)
    path = street.folder / "envoy" / "rds.json"
    beside = path.with_name("bad")
    beside.write_text('{"version_info": "bad", "resources": [{"@type": "nonsense"}]}')
    beside.rename(path)
    time.sleep(0.3)
    assert street.splitter.live() == QUARTER
    assert street.traffic(1).failed == 0


@pytest.mark.parametrize("proto", ["rest", "grpc"])
def test_a_killed_canary_costs_no_client_an_error_and_is_counted(
    street: Street, proto: str
) -> None:
    route(street, QUARTER)
    time.sleep(2)
    with counting(street, "canary") as found:
        seen = street.traffic(6, proto=proto, midway=lambda: street.kill("canary"))
    assert seen.failed == 0
    # The second half of its requests was answered by stable.
    assert 0.35 < found["errors"] / found["requests"] < 0.65


@pytest.mark.parametrize("proto", ["rest", "grpc"])
def test_a_hung_canary_costs_no_client_an_error(street: Street, proto: str) -> None:
    route(street, QUARTER)
    hung = street.running["canary"]
    try:
        seen = street.traffic(4, proto=proto, midway=lambda: hung.send_signal(signal.SIGSTOP))
    finally:
        hung.send_signal(signal.SIGCONT)
    assert seen.failed == 0


@pytest.mark.parametrize(
    ("proto", "wrong"),
    [
        ("rest", {"status": 503}),
        ("rest", {"status": 400}),
        ("grpc", {"code": "INTERNAL"}),
        ("grpc", {"code": "INVALID_ARGUMENT"}),
        ("grpc", {"code": "UNIMPLEMENTED"}),
    ],
)
def test_every_kind_of_failure_is_counted(
    street: Street, proto: str, wrong: dict[str, object]
) -> None:
    route(street, QUARTER)
    time.sleep(1.5)
    street.fault("canary", **wrong)
    with counting(street, "canary") as found:
        street.traffic(3, proto=proto)
    assert found["requests"] > 40
    assert found["errors"] == pytest.approx(found["requests"], abs=2)


def test_a_street_that_is_slow_as_a_whole_is_not_asked_twice_as_much(street: Street) -> None:
    """Else the second tries keep a machine busy that a burst of work had made slow."""
    asked = street.asked()
    for role in ROLES:
        street.fault(role, ms=1500)  # five times what a second try waits for
    seen = street.traffic(4, rate=150)
    assert seen.failed == 0
    again = street.asked() - asked - seen.total
    assert 0 < again < 0.35 * seen.total


def test_copies_are_counted_apart_and_hurt_nobody(street: Street) -> None:
    route(street, Split(mirror=25))
    street.fault("canary", ms=250)
    with counting(street, "mirror-canary") as found:
        seen = street.traffic(4)
    assert seen.failed == 0
    assert seen.by_arm("stable") == seen.total
    assert found["requests"] == pytest.approx(0.25 * seen.total, rel=0.35)
    assert found["slow"] == pytest.approx(found["timed"], abs=2)
    assert found["timed"] > 40


def test_a_user_stays_when_shares_grow(street: Street) -> None:
    import httpx

    users = [f"user-{number}" for number in range(150)]
    url = f"http://127.0.0.1:{street.layout.port}/v1/models/toy:predict"

    def canaries(share: int) -> set[str]:
        route(street, Split(stable=100 - share, canary=share, sticky=True))
        with httpx.Client() as client:
            return {
                user
                for user in users
                if client.post(url, json={}, headers={"x-user-id": user}).headers["x-driftline-arm"]
                == "canary"
            }

    few, many = canaries(20), canaries(40)
    assert 10 < len(few) < len(many)
    assert few <= many


@dataclass
class Loop:
    """The controller on a thread, as the daemon runs it."""

    street: Street
    rules: RolloutRules
    state: RolloutState = field(default_factory=lambda: RolloutState(model="toy"))
    records: list[tuple[float, Record]] = field(default_factory=list)
    splits: list[tuple[float, Split]] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        ports = Ports(
            splitter=self.street.splitter,
            servers=MemoryServers(store={1, 2}),
            metrics=self.street.metrics,
            references=MemoryReferences(),
        )
        offered = 0
        while not self._stop.wait(0.5):
            now = time.time()
            if offered < 2 and self.live_version == offered:
                offered += 1
                self.state = handlers.handle(
                    self.state, version(offered), rules=self.rules, now=now
                ).state
            observed = handlers.observe(ports, self.state, now=now)
            step = handlers.tick(self.state, observed, rules=self.rules, now=now)
            self.state = step.state
            handlers.perform(step.actions, ports)
            live_split = ports.splitter.live()
            if not self.splits or self.splits[-1][1] != live_split:
                self.splits.append((time.time(), live_split))
            self.records += [(now, record) for record in step.records]

    @property
    def live_version(self) -> int:
        return self.state.live.version if self.state.live is not None else 0

    @contextmanager
    def running(self) -> Iterator[None]:
        thread = threading.Thread(target=self.run)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def verdicts(self) -> list[str]:
        return [record.outcome for _, record in self.records if isinstance(record, CanaryVerdict)]


def version(number: int) -> ModelVersion:
    return ModelVersion(
        record_id=f"v{number}",
        model="toy",
        at=time.time(),
        version=number,
        request_id="r",
        artifact=Artifact(uri=f"memory:{number}", digest=f"d{number}"),
        base_version=number - 1,
        blessed=True,
        reason="",
        evaluation=(),
        components=(),
        training_rows=1,
        window_start=0.0,
        window_end=1.0,
        load_seconds=0.1,
        warm_predict_seconds=0.01,
    )


def test_a_slow_canary_is_out_within_ten_seconds_and_no_client_sees_an_error(
    street: Street,
) -> None:
    rules = RolloutRules(steps=(10, 50), hold_seconds=600.0, deadline_seconds=600.0)
    loop = Loop(street, rules)
    slow_at: list[float] = []

    def slow() -> None:
        street.fault("canary", ms=300)
        slow_at.append(time.time())

    with loop.running():
        wait_for(lambda: any(split.canary == 10 for _, split in loop.splits))
        timer = threading.Timer(4.0, slow)
        timer.start()
        seen: Traffic = street.traffic(60, rate=120)
    back = next(at for at, split in loop.splits if split.canary == 0 and at > slow_at[0])
    assert back - slow_at[0] < 10.0
    assert seen.failed == 0
    assert "fail" in loop.verdicts()
    assert loop.state.rollout is None
    assert loop.live_version == 1
    print(f"back on stable after {back - slow_at[0]:.1f} s")  # noqa: T201


def test_a_good_canary_is_promoted_though_it_was_killed_once(street: Street) -> None:
    rules = RolloutRules(
        steps=(20, 50),
        hold_seconds=5.0,
        bake_seconds=2.0,
        errors_pp=5.0,
        slow_share=0.1,
        stale_seconds=8.0,
    )
    loop = Loop(street, rules)
    with loop.running():
        wait_for(lambda: any(split.canary == 20 for _, split in loop.splits))

        def revive() -> None:
            street.kill("canary")
            time.sleep(2)
            street.start("canary")

        timer = threading.Timer(3.0, revive)
        timer.start()
        failed, until = 0, time.monotonic() + 240
        while loop.live_version < 2 and time.monotonic() < until:
            failed += street.traffic(5, rate=120).failed
        timer.join()
    assert failed == 0
    assert loop.live_version == 2
    assert "fail" not in loop.verdicts()
