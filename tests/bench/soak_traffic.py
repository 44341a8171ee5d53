"""The models of the soak test and their events."""

from __future__ import annotations

import random

from msgspec.structs import replace

from streaming.contracts.model import ModelContract
from tests.bench.models import body, contract

WINDOW, MAX_OUT_OF_ORDERNESS = 5.0, 2.0


def soaked(number: int) -> ModelContract:
    """One of the models of ``--only models``, with its events on two partitions."""
    model = contract(number)
    first, *remaining = model.features
    return replace(
        model,
        window_seconds=WINDOW,
        max_out_of_orderness_seconds=MAX_OUT_OF_ORDERNESS,
        partitions=2,
        features=(replace(first, required=True), *remaining),  # an event without it is rejected
    )


class Events:
    """Makes a model's events; every minute a few of them have a new value."""

    def __init__(self, seed: int) -> None:
        rng = random.Random(seed)
        self._bodies = [body(rng) for _ in range(500)]

    def __call__(self, at: float, rng: random.Random) -> bytes:
        """An event with this time."""
        body = rng.choice(self._bodies)
        if rng.random() < 0.02:
            body = body.replace(b'"c0":"a"', b'"c0":"new-%d"' % (at // 60))
        return b'{"at":%s,%s' % (repr(at).encode(), body)
