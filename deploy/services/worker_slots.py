"""The retrains that one worker process works on at once: a name and devices for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One retrain at a time, on devices of its own."""

    name: str
    """Name of the worker in progress records and claims."""
    visible_gpus: str
    """What CUDA_VISIBLE_DEVICES has to be where it trains; empty on a CPU slot."""


def slots_of(devices: Sequence[str], count: int, *, name: str) -> tuple[Slot, ...]:
    """At most `count` slots that share the leased devices; each has at least one.

    Parameters
    ----------
    devices:
        ``gpu:0``, ``gpu:1``, … or ``cpu:0``, ``cpu:1``, ….
    count:
        Retrains that are wanted at once.
    name:
        Name of the process; unique on the log.

    >>> [slot.visible_gpus for slot in slots_of(("gpu:0", "gpu:1", "gpu:2"), 2, name="w")]
    ['0,2', '1']
    >>> [slot.name for slot in slots_of(("cpu:0", "cpu:1"), 2, name="w")]
    ['w', 'w-2']
    >>> len(slots_of(("gpu:0",), 4, name="w"))
    1
    """
    count = max(1, min(count, len(devices)))
    shares = [devices[number::count] for number in range(count)]
    return tuple(
        Slot(
            name=name if number == 1 else f"{name}-{number}",
            visible_gpus=",".join(
                device.removeprefix("gpu:") for device in share if device.startswith("gpu:")
            ),
        )
        for number, share in enumerate(shares, start=1)
    )
