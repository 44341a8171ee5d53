"""Predictions and labels in any order and any number of times: the same pairs, all accounted."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.quality.join import Joiner

KEYS = st.sampled_from([f"k{n}" for n in range(8)])
PREDICTIONS = st.tuples(st.just("p"), KEYS, st.floats(0, 99), st.integers(1, 2), st.integers(-5, 5))
LABELS = st.tuples(st.just("l"), KEYS, st.booleans(), st.floats(0, 120))
STREAMS = st.lists(PREDICTIONS | LABELS, max_size=60)


def joiner(most: int = 1000) -> Joiner:
    return Joiner(window_seconds=10.0, horizon_seconds=50.0, max_keys=most)


def feed(made: Joiner, stream: list[tuple[object, ...]]) -> None:
    for kind, *row in stream:
        if kind == "p":
            made.predict([tuple(row)])  # type: ignore[list-item]
        else:
            made.label([tuple(row)])  # type: ignore[list-item]


def check(made: Joiner) -> None:
    found = made.accounts
    rows = [o for window in made.windows.values() for o in window.outcomes]
    assert found.waiting == sum(outcome < 0 for outcome in rows)
    assert found.predictions_read == (
        found.joined + found.waiting + found.unlabelled + found.predictions_repeated
        + found.predictions_late + found.predictions_dead
    )  # fmt: skip
    assert found.labels_read == (
        found.matched + found.early + found.unmatched + found.labels_repeated
        + found.corrected + found.labels_late + found.labels_dead
    )  # fmt: skip
    assert all(number >= 0 for number in (found.waiting, found.early))


@given(stream=STREAMS, expire=st.lists(st.floats(0, 400), max_size=4).map(sorted))
def test_every_row_is_accounted_for_at_any_time(
    stream: list[tuple[object, ...]], expire: list[float]
) -> None:
    made = joiner()
    step = max(1, len(stream) // (len(expire) + 1))
    for place in range(0, len(stream) + 1, step):
        feed(made, stream[place : place + step])
        if expire:
            made.expire(expire.pop(0))
        check(made)


@given(stream=STREAMS)
def test_a_replay_of_everything_changes_no_pair(stream: list[tuple[object, ...]]) -> None:
    once, twice = joiner(), joiner()
    last = {key: (kind, key, *rest) for kind, key, *rest in stream if kind == "l"}
    stream = [row for row in stream if row[0] == "p"] + list(last.values())
    feed(once, stream)
    feed(twice, stream + stream)
    check(twice)
    assert {s: {v: c.record() for v, c in w.counts().items()} for s, w in once.windows.items()} == {
        s: {v: c.record() for v, c in w.counts().items()} for s, w in twice.windows.items()
    }


@settings(max_examples=60)
@given(stream=STREAMS, order=st.randoms())
def test_it_does_not_matter_which_comes_first(
    stream: list[tuple[object, ...]], order: object
) -> None:
    labels = list({row[1]: row for row in stream if row[0] == "l"}.values())
    predictions = list({(row[1], row[3]): row for row in stream if row[0] == "p"}.values())
    mixed = labels + predictions
    order.shuffle(mixed)  # type: ignore[attr-defined]
    one, other = joiner(), joiner()
    feed(one, labels + predictions)
    feed(other, mixed)
    assert {s: {v: c.record() for v, c in w.counts().items()} for s, w in one.windows.items()} == {
        s: {v: c.record() for v, c in w.counts().items()} for s, w in other.windows.items()
    }
    assert one.accounts.joined == other.accounts.joined


def test_a_correction_counts_and_is_counted() -> None:
    made = joiner()
    made.predict([("a", 1.0, 1, 0)])
    made.label([("a", False, 5.0), ("a", False, 6.0), ("a", True, 7.0)])
    assert made.windows[0.0].counts()[1].positives.tolist() == [1]
    found = made.accounts
    assert (found.matched, found.labels_repeated, found.corrected) == (1, 1, 1)
    assert made.windows[0.0].take_ages().tolist() == [4.0]
    assert made.windows[0.0].take_ages().tolist() == []


def test_memory_is_bounded_and_what_is_given_up_is_counted() -> None:
    made = joiner(most=100)
    made.predict([(f"p{n}", float(n), 1, 0) for n in range(300)])
    made.label([(f"l{n}", True, float(n)) for n in range(300)])
    made.expire(0.0)
    held = sum(len(window.keys) for window in made.windows.values()) + made.accounts.early
    assert held <= 100
    assert made.accounts.evicted == 600 - held
    check(made)
    made.predict([("late", 1.0, 1, 0)])
    assert made.accounts.predictions_late == 1
