"""The checker finds what it is there for: lost, doubled and misplaced records."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from msgspec.structs import replace

from streaming.contracts.records import Artifact, DeadLetter, OffsetRange, WindowSummary
from tests.streaming.engines.checker import Fate, Sent, problems

END = 10.0


def window(end: float, *, accepted: int, start: int, dead: int = 0, late: int = 0) -> WindowSummary:
    hull = OffsetRange(topic="t", partition=0, start=start, stop=start + accepted)
    return WindowSummary(
        record_id=f"w{end}",
        model="m",
        at=end,
        window_start=end - 5.0,
        window_end=end,
        accepted=accepted,
        dead_letters=dead,
        late=late,
        offsets_read=accepted + dead + late,
        offsets=(hull,) if accepted else (),
        features=(),
    )


def letter(offset: int, reason: str) -> DeadLetter:
    return DeadLetter(
        record_id=f"d{offset}",
        model="m",
        at=0.0,
        topic="t",
        partition=0,
        offset=offset,
        reason=reason,
        detail="",
        payload=b"",
        payload_bytes=0,
    )


def sent(offset: int, fate: Fate = "good", end: float = END) -> Sent:
    return Sent(partition=0, offset=offset, fate=fate, window_end=end if fate == "good" else 0.0)


SENT = [*(sent(n) for n in range(4)), sent(4, end=15.0), sent(5, "dead"), sent(6, "late")]
SUMMARIES = [window(END, accepted=4, start=0, dead=1), window(15.0, accepted=1, start=4, late=1)]
OTHER = Artifact(uri="file:///statistics/m/10-other.pb", digest="0" * 64)
LETTERS = [letter(5, "not_json"), letter(6, "late")]


def test_what_is_counted_once_is_no_problem_also_when_it_is_said_twice() -> None:
    assert problems(SENT, SUMMARIES, LETTERS) == []
    assert problems(SENT, [*SUMMARIES, *SUMMARIES], [*LETTERS, *LETTERS]) == []


Spoil = Callable[[WindowSummary], WindowSummary]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda w: replace(w, accepted=3, offsets_read=4), "counts 3 rows of 4"),
        (lambda w: replace(w, accepted=5, offsets_read=6), "counts 5 rows of 4"),
        (lambda w: replace(w, dead_letters=0, offsets_read=4), "0 dead records are counted of 1"),
        (lambda w: replace(w, offsets_read=6), "do not add up"),
        (lambda w: replace(w, offsets=()), "offsets None instead of (0, 4)"),
        (lambda w: replace(w, window_end=20.0), "window 10 counts 0 rows of 4"),
    ],
)
def test_a_wrong_summary_is_found(spoil: Spoil, said: str) -> None:
    found = problems(SENT, [spoil(SUMMARIES[0]), SUMMARIES[1]], LETTERS)
    assert any(said in one for one in found), found


@pytest.mark.parametrize(
    ("summaries", "letters", "said"),
    [
        (SUMMARIES[:1], LETTERS, "window 15 counts 0 rows of 1"),
        ([*SUMMARIES, replace(SUMMARIES[0], late=1)], LETTERS, "two summaries that differ"),
        (
            [*SUMMARIES, replace(SUMMARIES[0], statistics=OTHER)],
            LETTERS,
            "two summaries that differ",
        ),
        (SUMMARIES, LETTERS[:1], "offset (0, 6) has no letter"),
        (SUMMARIES, [*LETTERS, letter(1, "late")], "is late, but was sent good"),
        (SUMMARIES, [*LETTERS, letter(5, "empty")], "two letters that differ"),
        (SUMMARIES, [letter(5, "late"), LETTERS[1]], "is late, but was sent dead"),
    ],
)
def test_what_is_missing_or_differs_is_found(
    summaries: Sequence[WindowSummary], letters: Sequence[DeadLetter], said: str
) -> None:
    found = problems(SENT, summaries, letters)
    assert any(said in one for one in found), found
