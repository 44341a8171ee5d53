"""Which files go: by age, by count, by quota, and never what is held."""

from __future__ import annotations

import random

import pytest
from msgspec.structs import replace

from retrain.clean_up import (
    UNTOUCHED_SECONDS,
    CleanUp,
    CleanUpRules,
    FileKind,
    KeptFiles,
    plan_clean_up,
)

DAY = 86400.0
NOW = 1_000.0 * DAY
KINDS: tuple[FileKind, ...] = (
    "leftover", "attempt", "pipeline", "examples", "logs", "run", "version",
)  # fmt: skip


def files(kind: FileKind, name: str, days: float, size: int = 10, held_by: str = "") -> KeptFiles:
    return KeptFiles(
        kind=kind,
        model="taxi",
        name=name,
        path=f"/{kind}/{name}",
        size=size,
        at=NOW - days * DAY,
        held_by=held_by,
    )


def names(plan: CleanUp) -> list[str]:
    return [removal.files.name for removal in plan.removed]


def test_what_is_older_than_the_rules_allow_goes_and_says_so() -> None:
    present = [files("run", "old", 40), files("run", "young", 20), files("logs", "older", 50)]
    plan = plan_clean_up(present, CleanUpRules(), NOW)
    assert names(plan) == ["older", "old"]
    assert plan.removed[0].reason == "unchanged for 50 d"
    assert (plan.freed, plan.left) == (20, 10)


def test_the_newest_versions_stay_whatever_their_age_and_at_least_one() -> None:
    present = [files("version", str(number), 900 - number) for number in range(1, 13)]
    assert names(plan_clean_up(present, CleanUpRules(), NOW)) == ["1", "2"]
    everything = CleanUpRules(keep_seconds=0.0, keep_versions=0, max_bytes=0)
    assert "12" not in names(plan_clean_up(present, everything, NOW)), "the next number follows it"


def test_for_the_quota_goes_first_what_is_the_easiest_to_make_again() -> None:
    present = [files(kind, kind, 5) for kind in reversed(KINDS)]
    present.append(files("version", "0", 5))
    present[0] = replace(present[0], name="1")
    for bytes_left in (75, 41, 0):
        plan = plan_clean_up(present, CleanUpRules(max_bytes=bytes_left, keep_versions=1), NOW)
        expected = [*KINDS[:-1], "0"][: {75: 1, 41: 4, 0: 7}[bytes_left]]
        assert names(plan) == expected
        assert plan.above_quota == max(0, plan.left - bytes_left)


@pytest.mark.parametrize("seed", range(50))
def test_what_is_held_or_in_use_now_never_goes_and_bytes_add_up(seed: int) -> None:
    draw = random.Random(seed)
    present = [
        files(
            draw.choice(KINDS),
            str(number),
            draw.choice((0.0, 0.01, 1.0, 29.0, 400.0)),
            draw.randrange(100),
            draw.choice(("", "version 3 is live")),
        )
        for number in range(40)
    ]
    rules = CleanUpRules(
        keep_seconds=draw.choice((0.0, 30 * DAY)),
        keep_versions=draw.randrange(4),
        max_bytes=draw.choice((None, 0, 500)),
    )
    plan = plan_clean_up(present, rules, NOW)
    removed = [removal.files for removal in plan.removed]
    assert not any(each.held_by for each in removed)
    assert all(NOW - each.at > UNTOUCHED_SECONDS for each in removed)
    assert sorted([*removed, *plan.kept], key=lambda f: f.path) == sorted(
        present, key=lambda f: f.path
    )
    assert plan.freed + plan.left == sum(each.size for each in present)
