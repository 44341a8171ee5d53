"""The join of predictions and labels: any order, any repeats, the same pairs, all accounted."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.contracts.quality_records import ScoreCounts
from streaming.quality.join import Joiner

KEYS = st.sampled_from([f"k{n}" for n in range(8)])
PREDICTIONS = st.tuples(st.just("p"), KEYS, st.floats(0, 99), st.integers(1, 2), st.integers(-5, 5))
LABELS = st.tuples(st.just("l"), KEYS, st.booleans(), st.floats(0, 120))
STREAMS = st.lists(PREDICTIONS | LABELS, max_size=60)


def new_joiner(max_keys: int = 1000) -> Joiner:
    return Joiner(window_seconds=10.0, horizon_seconds=50.0, max_keys=max_keys)


def feed(joiner: Joiner, stream: list[tuple[object, ...]]) -> None:
    for kind, *row in stream:
        if kind == "p":
            joiner.add_predictions([tuple(row)])  # type: ignore[list-item]
        else:
            joiner.add_labels([tuple(row)])  # type: ignore[list-item]


def assert_accounts_add_up(joiner: Joiner) -> None:
    accounts = joiner.accounts
    rows = [outcome for window in joiner.windows.values() for outcome in window.outcomes]
    assert accounts.waiting == sum(outcome < 0 for outcome in rows)
    assert accounts.predictions_read == (
        accounts.joined + accounts.waiting + accounts.unlabelled + accounts.predictions_repeated
        + accounts.predictions_late + accounts.predictions_dead
    )  # fmt: skip
    assert accounts.labels_read == (
        accounts.matched + accounts.early + accounts.unmatched + accounts.labels_repeated
        + accounts.corrected + accounts.labels_late + accounts.labels_dead
    )  # fmt: skip
    assert all(number >= 0 for number in (accounts.waiting, accounts.early))


def pairs(joiner: Joiner) -> dict[float, dict[int, ScoreCounts]]:
    """Counts by window and version."""
    return {
        start: {version: counts.record() for version, counts in window.counts().items()}
        for start, window in joiner.windows.items()
    }


@given(stream=STREAMS, expire=st.lists(st.floats(0, 400), max_size=4).map(sorted))
def test_every_row_is_accounted_for_at_any_time(
    stream: list[tuple[object, ...]], expire: list[float]
) -> None:
    joiner = new_joiner()
    step = max(1, len(stream) // (len(expire) + 1))
    for begin in range(0, len(stream) + 1, step):
        feed(joiner, stream[begin : begin + step])
        if expire:
            joiner.expire(expire.pop(0))
        assert_accounts_add_up(joiner)


@given(stream=STREAMS)
def test_a_replay_of_everything_changes_no_pair(stream: list[tuple[object, ...]]) -> None:
    once, twice = new_joiner(), new_joiner()
    labels = {key: (kind, key, *values) for kind, key, *values in stream if kind == "l"}
    stream = [row for row in stream if row[0] == "p"] + list(labels.values())
    feed(once, stream)
    feed(twice, stream + stream)
    assert_accounts_add_up(twice)
    assert pairs(once) == pairs(twice)


@settings(max_examples=60)
@given(stream=STREAMS, order=st.randoms())
def test_the_order_of_predictions_and_labels_does_not_matter(
    stream: list[tuple[object, ...]], order: object
) -> None:
    labels = list({row[1]: row for row in stream if row[0] == "l"}.values())
    predictions = list({(row[1], row[3]): row for row in stream if row[0] == "p"}.values())
    mixed = labels + predictions
    order.shuffle(mixed)  # type: ignore[attr-defined]
    ordered, shuffled = new_joiner(), new_joiner()
    feed(ordered, labels + predictions)
    feed(shuffled, mixed)
    assert pairs(ordered) == pairs(shuffled)
    assert ordered.accounts.joined == shuffled.accounts.joined


def test_a_corrected_label_replaces_the_outcome_and_is_counted() -> None:
    joiner = new_joiner()
    joiner.add_predictions([("a", 1.0, 1, 0)])
    joiner.add_labels([("a", False, 5.0), ("a", False, 6.0), ("a", True, 7.0)])
    assert joiner.windows[0.0].counts()[1].positives.tolist() == [1]
    accounts = joiner.accounts
    assert (accounts.matched, accounts.labels_repeated, accounts.corrected) == (1, 1, 1)
    assert joiner.windows[0.0].take_ages().tolist() == [4.0]
    assert joiner.windows[0.0].take_ages().tolist() == []


def test_memory_is_bounded_and_evicted_keys_are_counted() -> None:
    joiner = new_joiner(max_keys=100)
    joiner.add_predictions([(f"p{n}", float(n), 1, 0) for n in range(300)])
    joiner.add_labels([(f"l{n}", True, float(n)) for n in range(300)])
    joiner.expire(0.0)
    held = sum(len(window.keys) for window in joiner.windows.values()) + joiner.accounts.early
    assert held <= 100
    assert joiner.accounts.evicted == 600 - held
    assert_accounts_add_up(joiner)
    joiner.add_predictions([("late", 1.0, 1, 0)])
    assert joiner.accounts.predictions_late == 1
