"""Loads run in threads of low priority, which do not stay and do not wait for each other."""

from __future__ import annotations

import ctypes
import os
import platform
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from serving.engines.modelserver import priority
from tests.waiting import wait_for


@pytest.fixture(autouse=True)
def _beside_a_version_that_answers() -> Iterator[None]:
    priority.version_is_available()
    yield
    priority.version_is_unloaded()


def _priority_and_thread() -> tuple[int, int]:
    own = threading.get_native_id()
    return os.getpriority(os.PRIO_PROCESS, own), own


def _lowered() -> tuple[int, int]:
    """Wait in the background until the caller has lowered the priority."""
    usual = os.getpriority(os.PRIO_PROCESS, os.getpid())
    wait_for(lambda: _priority_and_thread()[0] > usual)
    return _priority_and_thread()


def _slice_ns() -> int:
    """The length of this thread's slices of the processor, as the kernel has it."""
    attributes = priority._Attributes(size=ctypes.sizeof(priority._Attributes))
    size = ctypes.sizeof(attributes)
    assert ctypes.CDLL(None).syscall(315, 0, ctypes.byref(attributes), size, 0) == 0
    return int(attributes.runtime)


@pytest.mark.skipif(
    tuple(int(part) for part in platform.release().split(".")[:2]) < (6, 12)
    or platform.machine() != "x86_64",
    reason="Linux before 6.12 has one length of slices for all threads",
)
def test_threads_of_requests_have_short_slices_at_the_usual_priority() -> None:
    def begin() -> tuple[int, int, int]:
        before = _slice_ns()
        priority.take_short_slices()
        return before, _slice_ns(), _priority_and_thread()[0]

    with ThreadPoolExecutor(1) as pool:
        before, after, nice = pool.submit(begin).result()
    assert after == 100_000 < before
    assert nice == os.getpriority(os.PRIO_PROCESS, os.getpid())


def test_background_work_has_a_low_priority_and_its_thread_ends() -> None:
    usual, own = _priority_and_thread()
    results = [priority.in_background(_lowered) for _ in range(5)]
    assert all(lowered > usual for lowered, _ in results)
    tasks = Path("/proc/self/task")
    wait_for(lambda: not any((tasks / str(thread)).exists() for _, thread in results))
    assert _priority_and_thread() == (usual, own)


def test_a_load_beside_no_version_has_the_usual_priority() -> None:
    for _ in range(2):
        priority.version_is_unloaded()
        assert priority.in_background(_priority_and_thread) == _priority_and_thread()
        priority.version_is_available()
        assert priority.in_background(_lowered) != _priority_and_thread()


def test_a_server_without_clients_loads_at_the_usual_priority(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(priority._available, "matter", True)  # restored afterwards
    priority.never_in_background()
    assert priority.in_background(_priority_and_thread) == _priority_and_thread()


def test_an_error_belongs_to_the_caller() -> None:
    with pytest.raises(ZeroDivisionError):
        priority.in_background(divmod, 1, 0)
    assert priority.in_background(divmod, 7, 2) == (3, 1)


def test_loads_of_several_models_do_not_wait_for_each_other() -> None:
    together = threading.Barrier(4)
    with ThreadPoolExecutor(4) as pool:
        loads = [pool.submit(priority.in_background, together.wait, 20) for _ in range(4)]
        assert sorted(load.result(timeout=30) for load in loads) == [0, 1, 2, 3]
