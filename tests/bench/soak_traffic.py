"""The models of the soak test and their events."""

from __future__ import annotations

import random

from msgspec.structs import replace

from streaming.contracts.model import ModelContract
from tests.bench.models import body, contract

WINDOW, DISORDER = 5.0, 2.0


def soaked(number: int) -> ModelContract:
    """One of the models: those of ``--only models``, its events on two partitions."""
    made = contract(number)
    first, *others = made.features
    return replace(
        made,
        window_seconds=WINDOW,
        max_out_of_orderness_seconds=DISORDER,
        partitions=2,
        features=(replace(first, required=True), *others),  # so that `BAD` is bad
    )


class Events:
    """Makes a model's events; every minute a few of them have a value that is new."""

    def __init__(self, seed: int) -> None:
        rng = random.Random(seed)
        self._bodies = [body(rng) for _ in range(500)]

    def __call__(self, at: float, rng: random.Random) -> bytes:
        """An event of this time."""
        rest = rng.choice(self._bodies)
        if rng.random() < 0.02:
            rest = rest.replace(b'"c0":"a"', b'"c0":"new-%d"' % (at // 60))
        return b'{"at":%s,%s' % (repr(at).encode(), rest)
