"""Seeded events and labels of the small models, with the best predictions that exist for them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

TEAMS = {"invoice": "billing", "refund": "billing", "crash": "fault", "offer": "sales"}
START = 1_700_000_000.0

Row = dict[str, Any]


def tickets(count: int, *, seed: int = 1) -> list[tuple[Row, Row]]:
    """(event, label): the subject gives the team, except that slow tickets of high priority are
    faults, and that one in twenty is in a team at random. The subject is among the tags, and
    stands in its own field in three of five tickets only."""
    generator = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        subject = str(generator.choice([*TEAMS, "hello", "question"]))
        priority, minutes = int(generator.integers(1, 5)), float(generator.lognormal(2.0, 1.0))
        team = "fault" if priority > 3 and minutes > 8.0 else TEAMS.get(subject, "other")
        if generator.random() < 0.05:
            team = str(generator.choice(["billing", "fault", "other", "sales"]))
        tags = [subject, *map(str, generator.choice(["web", "phone", "vip"], 2))]
        generator.shuffle(tags)
        shown = subject if generator.random() < 0.6 else "question"
        event: Row = {"subject": shown, "priority": priority, "minutes": minutes, "tags": tags}
        if generator.random() < 0.1:
            del event["priority"]
        rows.append((_event(number, event), {"id": f"row-{number}", "team": team}))
    return rows


def sales(count: int, *, seed: int = 1) -> list[tuple[Row, Row]]:
    """(event, label): units around `expected_units`, with a standard deviation of a tenth."""
    generator = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        hour, price = int(generator.integers(0, 24)), float(generator.uniform(1.0, 9.0))
        shop = f"shop-{generator.integers(0, 60)}"
        mean = expected_units(hour, price)
        units = mean + 0.1 * mean * float(generator.normal())
        event = {"hour": hour, "price": price, "shop": shop}
        rows.append((_event(number, event), {"id": f"row-{number}", "units": units}))
    return rows


def expected_units(hour: float, price: float) -> float:
    """The mean number of units: high at midday and at a low price."""
    return 5_000.0 * (1.2 + math.sin((hour - 6.0) / 24.0 * 2.0 * math.pi)) / (1.0 + price / 9.0)


def _event(number: int, fields: Row) -> Row:
    return {"id": f"row-{number}", "time": START + number * 0.01, **fields}
