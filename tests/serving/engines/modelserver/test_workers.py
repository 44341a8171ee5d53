"""Slow work never takes the threads of quick work, and its threads end."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import Future

import pytest

from serving.engines.modelserver.codes import Code, Refused
from serving.engines.modelserver.priority import at_normal_priority, run
from serving.engines.modelserver.threads import LOOK_SECONDS
from serving.engines.modelserver.workers import Workers
from tests.waiting import wait_for


def test_quick_work_is_done_beside_slow_work() -> None:
    workers, release = Workers(2, name="slow-test"), threading.Event()
    slow = [workers.submit(release.wait, 20) for _ in range(8)]
    assert workers.submit(lambda: 7).result(timeout=10) == 7
    wait_for(lambda: workers.slow_runs == 8)
    assert [workers.submit(pow, 2, at).result(timeout=10) for at in range(5)] == [1, 2, 4, 8, 16]
    release.set()
    assert all(future.result(timeout=10) for future in slow)
    wait_for(lambda: workers.slow_runs == 0)
    wait_for(lambda: sum(t.name == "slow-test" for t in threading.enumerate()) == 2)
    workers.shutdown()
    wait_for(lambda: not any(t.name == "slow-test" for t in threading.enumerate()))


def test_too_much_slow_work_is_refused() -> None:
    workers, release = Workers(1, most=3), threading.Event()
    slow = [workers.submit(release.wait, 20) for _ in range(3)]
    wait_for(lambda: workers.slow_runs == 3)
    with pytest.raises(Refused, match="3 requests are slow") as refused:
        workers.check_room()
    assert refused.value.code is Code.RESOURCE_EXHAUSTED
    assert workers.submit(int).result(timeout=10) == 0  # who does not ask is not refused
    release.set()
    for future in slow:
        future.result(timeout=10)
    wait_for(lambda: workers.slow_runs == 0)
    workers.check_room()
    assert workers.submit(int).result(timeout=10) == 0
    workers.shutdown()


def _priority() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


def test_slow_work_of_python_keeps_its_priority() -> None:
    """With a low one it would hold the interpreter's lock, and so every request, for seconds."""
    workers, release = Workers(1), threading.Event()

    def priorities() -> tuple[int, int]:
        before = _priority()
        release.wait(20)
        return before, _priority()

    slow: Future[tuple[int, int]] = workers.submit(priorities)
    wait_for(lambda: workers.slow_runs == 1)
    time.sleep(3 * LOOK_SECONDS)  # the watching thread looks again
    release.set()
    before, after = slow.result(timeout=10)
    assert after == before
    workers.shutdown()


def test_slow_work_computes_at_a_lower_priority_and_goes_on_at_the_normal_one() -> None:
    workers = Workers(1)

    def priorities() -> tuple[int, int, int]:
        before, own = _priority(), threading.get_native_id()
        run(lambda: wait_for(lambda: os.getpriority(os.PRIO_PROCESS, own) > before))
        return before, _priority(), at_normal_priority(_priority)

    before, within, after = workers.submit(priorities).result(timeout=30)
    assert within > before == after
    assert workers.submit(_priority).result(timeout=10) == before  # the lowered thread has ended
    wait_for(lambda: workers.slow_runs == 0)
    workers.shutdown()


def test_an_error_belongs_to_the_caller() -> None:
    workers = Workers(1)
    with pytest.raises(ZeroDivisionError):
        workers.submit(lambda: 1 // 0).result(timeout=10)
    assert workers.submit(int).result(timeout=10) == 0
    workers.shutdown()
    with pytest.raises(RuntimeError, match="stopping"):
        workers.submit(int)


def test_started_work_tells_when_it_has_ended() -> None:
    workers, release = Workers(1), threading.Event()
    ended: list[str] = []
    started = workers.start(release.wait, 20)
    started.add_done_callback(lambda _: ended.append("before"))
    assert not ended
    release.set()
    wait_for(lambda: ended == ["before"])
    started.add_done_callback(lambda _: ended.append("after"))
    assert ended == ["before", "after"]
    failed = workers.start(lambda: 1 // 0)
    wait_for(lambda: failed._done)
    assert workers.submit(int).result(timeout=10) == 0  # the thread goes on
    workers.shutdown()
    with pytest.raises(RuntimeError, match="stopping"):
        workers.start(int)
