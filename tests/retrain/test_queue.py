"""The queue of retrains: what each request does or waits for."""

from __future__ import annotations

from typing import Literal

from msgspec.structs import replace

from retrain.claims import Claim, Holder
from retrain.queue import QueuedRetrain, queue_of
from streaming.contracts.records import RetrainProgress, RetrainRequest
from tests.retrain.builders import request


def asked(name: str, at: float, *, model: str = "taxi", deadline: float = 900.0) -> RetrainRequest:
    return replace(request(name, at=at, deadline=deadline), model=model)


def report(
    name: str, state: Literal["started", "waiting", "done"], at: float, detail: str = ""
) -> RetrainProgress:
    return RetrainProgress(
        record_id=f"{name}-{state}", model="taxi", at=at, request_id=name, attempt=1, worker="w1",
        component="Trainer", state=state, step=8, steps=12, detail=detail,
    )  # fmt: skip


def entries(*queued: QueuedRetrain) -> dict[str, tuple[str, str]]:
    return {entry.request_id: (entry.state, entry.waits_for) for entry in queued}


def test_each_request_says_what_it_does_or_waits_for() -> None:
    requests = [asked("c", 30.0, model="tips"), asked("b", 20.0, model="fare"), asked("a", 10.0)]
    queued = queue_of(requests, [report("a", "started", 80.0)], set(), 100.0)
    assert [entry.request_id for entry in queued] == ["a", "b", "c"]
    assert entries(*queued) == {
        "a": ("running", "Trainer started, step 8 of 12, 20 s ago"),
        "b": ("queued", "a free worker (taxi in training)"),
        "c": ("queued", "a free worker (taxi in training); fare before it"),
    }
    assert (queued[0].worker, queued[0].attempt) == ("w1", 1)


def claim(name: str, model: str, at: float) -> Holder:
    of_worker = Claim(act="take", claim_id=name, model=model, request_id=name, worker="w7")
    return Holder(claim=of_worker, renewed_at=at)


def test_claims_say_who_has_a_request_and_what_the_next_of_its_model_waits_for() -> None:
    requests = [asked("a", 10.0), asked("b", 20.0), asked("c", 30.0, model="fare")]
    queued = queue_of(requests, [], set(), 100.0, {"taxi": claim("a", "taxi", 98.0)})
    assert entries(*queued) == {
        "a": ("running", "its worker has just begun"),
        "b": ("queued", "the retrain of taxi that is under way"),
        "c": ("queued", "a free worker (taxi in training); taxi before it"),
    }
    assert queued[0].worker == "w7"


def test_a_worker_that_is_gone_is_named_with_the_time_since_it_was_heard_of() -> None:
    reports = [report("a", "started", 20.0)]
    (entry,) = queue_of([asked("a", 10.0)], reports, set(), 100.0, {"taxi": claim("a", "taxi", 60)})
    assert (entry.state, entry.worker) == ("waiting", "w7")
    assert entry.waits_for == "another worker: w7 was last heard of 40 s ago"


def test_an_outage_and_a_passed_deadline_are_named() -> None:
    outage = [report("a", "started", 10.0), report("a", "waiting", 20.0, "The registry is away.")]
    assert entries(*queue_of([asked("a", 1.0)], outage, set(), 30.0)) == {
        "a": ("waiting", "Trainer waits: The registry is away.")
    }
    late = queue_of([asked("a", 1.0, deadline=25.0)], [], set(), 30.0)
    assert entries(*late) == {
        "a": ("overdue", "its deadline passed 5 s ago; no worker has taken it")
    }


def test_what_has_an_outcome_and_what_came_twice_is_not_shown_again() -> None:
    requests = [asked("a", 1.0), asked("b", 2.0), asked("b", 2.0)]
    assert list(entries(*queue_of(requests, [], {"a"}, 10.0))) == ["b"]
