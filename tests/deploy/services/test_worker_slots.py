"""The slots of a worker process: devices of their own, and an end that all share."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from deploy.services.worker import serve_slots
from deploy.services.worker_slots import Slot, slots_of
from streaming.contracts.errors import ConfigurationError


def test_slots_never_share_a_device_and_none_is_without_one() -> None:
    devices = tuple(f"gpu:{number}" for number in range(5))
    for count in range(1, 8):
        slots = slots_of(devices, count, name="host-1")
        assert len(slots) == min(count, 5)
        given = [gpu for slot in slots for gpu in slot.visible_gpus.split(",")]
        assert sorted(given) == ["0", "1", "2", "3", "4"]
        assert len({slot.name for slot in slots}) == len(slots)
    assert {slot.visible_gpus for slot in slots_of(("cpu:0", "cpu:3"), 2, name="h")} == {""}


def test_the_slots_serve_at_the_same_time() -> None:
    meeting = threading.Barrier(2, timeout=30.0)
    met: list[str] = []

    def serve(slot: Slot, *, stop: Callable[[], bool]) -> None:
        meeting.wait()
        met.append(slot.name)

    serve_slots(slots_of(("cpu:0", "cpu:1"), 2, name="w"), serve, stop=lambda: False)
    assert sorted(met) == ["w", "w-2"]


def test_an_error_of_one_slot_ends_the_process() -> None:
    def serve(slot: Slot, *, stop: Callable[[], bool]) -> None:
        if slot.name == "w-2":
            raise ConfigurationError("The requests cannot be read.")
        while not stop():
            threading.Event().wait(0.01)

    with pytest.raises(ConfigurationError, match="cannot be read"):
        serve_slots(slots_of(("cpu:0", "cpu:1"), 2, name="w"), serve, stop=lambda: False)
