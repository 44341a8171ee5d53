"""The checker reports records that are lost, counted twice or misplaced."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from msgspec.structs import replace

from streaming.contracts.records import Artifact, DeadLetter, OffsetRange, WindowSummary
from tests.streaming.engines.checker import Fate, Sent, problems

END = 10.0


def window(end: float, *, accepted: int, start: int, dead: int = 0, late: int = 0) -> WindowSummary:
    span = OffsetRange(topic="t", partition=0, start=start, stop=start + accepted)
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
        offsets=(span,) if accepted else (),
        features=(),
    )


def dead_letter(offset: int, reason: str) -> DeadLetter:
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
DEAD_LETTERS = [dead_letter(5, "not_json"), dead_letter(6, "late")]


def test_records_that_are_counted_once_are_no_problem_even_when_written_twice() -> None:
    assert problems(SENT, SUMMARIES, DEAD_LETTERS) == []
    assert problems(SENT, [*SUMMARIES, *SUMMARIES], [*DEAD_LETTERS, *DEAD_LETTERS]) == []


Spoil = Callable[[WindowSummary], WindowSummary]


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda w: replace(w, accepted=3, offsets_read=4), "counts 3 rows of 4"),
        (lambda w: replace(w, accepted=5, offsets_read=6), "counts 5 rows of 4"),
        (lambda w: replace(w, dead_letters=0, offsets_read=4), "0 dead records are counted of 1"),
        (lambda w: replace(w, offsets_read=6), "do not add up"),
        (lambda w: replace(w, offsets=()), "offsets None instead of (0, 4)"),
        (lambda w: replace(w, window_end=20.0), "window 10 counts 0 rows of 4"),
    ],
)
def test_a_wrong_summary_is_reported(spoil: Spoil, expected: str) -> None:
    messages = problems(SENT, [spoil(SUMMARIES[0]), SUMMARIES[1]], DEAD_LETTERS)
    assert any(expected in message for message in messages), messages


@pytest.mark.parametrize(
    ("summaries", "dead_letters", "expected"),
    [
        (SUMMARIES[:1], DEAD_LETTERS, "window 15 counts 0 rows of 1"),
        ([*SUMMARIES, replace(SUMMARIES[0], late=1)], DEAD_LETTERS, "two summaries that differ"),
        (
            [*SUMMARIES, replace(SUMMARIES[0], statistics=OTHER)],
            DEAD_LETTERS,
            "two summaries that differ",
        ),
        (SUMMARIES, DEAD_LETTERS[:1], "offset (0, 6) has no dead letter"),
        (SUMMARIES, [*DEAD_LETTERS, dead_letter(1, "late")], "is late, but was sent good"),
        (SUMMARIES, [*DEAD_LETTERS, dead_letter(5, "empty")], "two dead letters that differ"),
        (SUMMARIES, [dead_letter(5, "late"), DEAD_LETTERS[1]], "is late, but was sent dead"),
    ],
)
def test_missing_and_differing_records_are_reported(
    summaries: Sequence[WindowSummary], dead_letters: Sequence[DeadLetter], expected: str
) -> None:
    messages = problems(SENT, summaries, dead_letters)
    assert any(expected in message for message in messages), messages
