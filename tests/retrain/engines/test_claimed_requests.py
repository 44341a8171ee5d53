"""Claims on a log in memory: takeover of killed and stopped workers, and one outcome for each."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from msgspec.structs import replace

from retrain.claims import LAPSE_SECONDS, RENEW_SECONDS, claims_on
from retrain.engines.claimed_requests import ClaimedRequests
from retrain.worker import Worker
from streaming.contracts.clock import ManualClock
from streaming.contracts.errors import UnavailableError
from streaming.contracts.log import MemoryLog
from streaming.contracts.records import OffsetRange, RetrainRequest
from streaming.contracts.topics import RETRAIN_CLAIMS, RETRAIN_REQUESTS
from tests.retrain.builders import CONTRACT, MODEL, model_version, request
from tests.retrain.request_queue_suite import SUITE, QueueSetup
from tests.retrain.worker_environment import Killed, WorkerEnvironment

LONG_AFTER = LAPSE_SECONDS + 2.0


class Requests:
    """A log in memory, and the queues of several workers on it."""

    def __init__(self) -> None:
        self.clock = ManualClock(1_000.0)
        self.log = MemoryLog(clock=self.clock)
        self.log.ensure([RETRAIN_CLAIMS, RETRAIN_REQUESTS])

    def put(self, request: RetrainRequest) -> None:
        self.log.append([request])

    def join(self, name: str = "w") -> ClaimedRequests:
        return ClaimedRequests(self.log, worker=name, clock=self.clock, renews=False)


@pytest.mark.parametrize("check", SUITE, ids=lambda check: check.__name__)
def test_the_request_queue_suite(check: Callable[[QueueSetup], None]) -> None:
    requests = Requests()
    check(QueueSetup(put=requests.put, join=requests.join, timeout_seconds=0.0))


@dataclass
class ClaimingWorkers:
    """Workers of `WorkerEnvironment` whose queue is the log."""

    environment: WorkerEnvironment
    queues: dict[str, ClaimedRequests] = field(default_factory=dict)

    def worker(self, name: str) -> Worker:
        environment = self.environment
        worker, _ = environment.worker(name)
        self.queues[name] = ClaimedRequests(
            environment.log, worker=name, clock=environment.clock, renews=False
        )
        worker.requests = self.queues[name]
        worker.contracts = {MODEL: CONTRACT, "fare": replace(CONTRACT, model="fare")}
        return worker


@pytest.fixture
def workers(tmp_path: Path) -> ClaimingWorkers:
    return ClaimingWorkers(WorkerEnvironment(tmp_path))


def test_the_request_of_a_killed_worker_is_taken_over_once_its_claim_lapses(
    workers: ClaimingWorkers,
) -> None:
    environment = workers.environment
    deaths = iter([Killed()])

    def die_once() -> None:
        for death in deaths:
            raise death

    environment.trainer.before_end = die_once
    environment.log.append([request()])
    with pytest.raises(Killed):
        workers.worker("w1").run_once(0.0)
    second = workers.worker("w2")
    assert second.run_once(0.0) == "no-request", "it may still be alive"
    environment.clock.advance(LONG_AFTER)
    assert second.run_once(0.0) == "published"
    (version,) = environment.versions()
    assert version.version == 1
    assert {(p.attempt, p.worker) for p in environment.progress()} == {(1, "w1"), (2, "w2")}
    assert second.run_once(0.0) == workers.worker("w3").run_once(0.0) == "no-request"


def test_a_stopped_worker_that_resumes_writes_no_outcome_beside_its_successors(
    workers: ClaimingWorkers,
) -> None:
    environment = workers.environment
    successor = workers.worker("w2")

    def stopped_for_long() -> None:
        environment.trainer.before_end = lambda: None
        assert successor.run_once(0.0) == "no-request"
        environment.clock.advance(LONG_AFTER)
        assert successor.run_once(0.0) == "published"
        raise OSError("what it failed with after it resumed")

    environment.trainer.before_end = stopped_for_long
    environment.log.append([request()])
    assert workers.worker("w1").run_once(0.0) == "lost"
    assert len(environment.versions()) == 1
    assert environment.failures() == []
    assert environment.store.versions(MODEL) == (1,)
    workers.queues["w1"].renew()
    assert workers.queues["w1"].take(0.0) is None


def test_one_model_in_training_does_not_delay_another(workers: ClaimingWorkers) -> None:
    environment = workers.environment
    second = workers.worker("w2")
    outcomes = []

    def meanwhile() -> None:
        environment.trainer.before_end = lambda: None
        outcomes.append(second.run_once(0.0))
        outcomes.append(second.run_once(0.0))

    environment.trainer.before_end = meanwhile
    environment.log.append([request("r1", at=1.0), replace(request("r2", at=2.0), model="fare")])
    assert workers.worker("w1").run_once(0.0) == "published"
    assert outcomes == ["published", "no-request"]
    assert {(v.model, v.request_id) for v in environment.versions()} == {
        (MODEL, "r1"),
        ("fare", "r2"),
    }


def test_a_request_whose_outcome_is_on_the_log_is_given_to_nobody() -> None:
    requests = Requests()
    requests.put(request("a"))
    requests.log.append([model_version(1, "a")])
    assert requests.join().take(0.0) is None


class UnsteadyLog(MemoryLog):
    """A log that cannot be reached at times."""

    away = False

    def spans(self, topic: str, *, since: float | None = None) -> tuple[OffsetRange, ...]:
        if self.away:
            raise UnavailableError("Kafka is away.", delay_seconds=1.0)
        return super().spans(topic, since=since)


def test_no_claim_lapses_while_nobody_could_renew_it() -> None:
    clock = ManualClock(1_000.0)
    log = UnsteadyLog(clock=clock)
    log.append([request("a")])
    first, second = (
        ClaimedRequests(log, worker=name, clock=clock, renews=False) for name in ("w1", "w2")
    )
    assert first.take(0.0) == request("a")
    assert second.take(0.0) is None
    log.away = True
    for _ in range(5):
        clock.advance(LAPSE_SECONDS)
        with pytest.raises(UnavailableError):
            first.renew()
        with pytest.raises(UnavailableError):
            second.take(0.0)
    log.away = False
    assert second.take(0.0) is None, "its holder has had no chance to renew"
    first.renew()
    clock.advance(RENEW_SECONDS)
    assert second.take(0.0) is None
    assert first.done(request("a"))


def test_damaged_messages_are_passed_over() -> None:
    requests = Requests()
    for topic in (RETRAIN_CLAIMS, RETRAIN_REQUESTS):
        requests.log.append_raw(topic.name, [(b"taxi", b"\xff{"), (b"taxi", b"{}"), (None, b"")])
    requests.put(request("a"))
    assert requests.join().take(0.0) == request("a")


@pytest.mark.parametrize("seed", range(20))
def test_whatever_dies_and_whenever_each_request_is_done_once_and_a_model_has_one_worker(
    seed: int,
) -> None:
    """Workers take, renew, end, leave, are stopped and die at random times."""
    draw, requests = random.Random(seed), Requests()
    put = [replace(request(f"r{n}", at=float(n)), model=f"m{n % 3}") for n in range(12)]
    for each in put:
        requests.put(each)
    alive, names, done = [requests.join("w0")], iter(range(1, 10_000)), []
    held: dict[int, RetrainRequest] = {}

    def step(queue: ClaimedRequests) -> None:
        taken = queue.take(0.0)
        if taken is None:
            return
        held[id(queue)] = taken
        action = draw.choice(("work", "work", "end", "leave", "die", "stall"))
        if action == "work":
            queue.renew()
        elif action == "end" and queue.done(taken):
            done.append(taken.record_id)
        elif action == "leave":
            queue.close()
            alive.remove(queue)
        elif action == "die":
            alive.remove(queue)
        elif action == "stall":
            requests.clock.advance(draw.choice((1.0, LONG_AFTER)))

    for _ in range(4_000):
        if len(alive) < 4:
            alive.append(requests.join(f"w{next(names)}"))
        step(draw.choice(alive))
        requests.clock.advance(draw.uniform(0.0, 2.0))
        holding = [q for q in alive if id(q) in held and q.holds(held[id(q)])]
        models = [held[id(q)].model for q in holding]
        assert len(models) == len(set(models))
        if len(done) == len(put):
            break
    assert sorted(done) == sorted(each.record_id for each in put)
    assert claims_on(requests.log, since=0.0).holders.keys() <= {"m0", "m1", "m2"}
