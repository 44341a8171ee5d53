from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrain.training_rows import RowFacts, RowRules, balanced, choose_rows, largest_count

RULES = RowRules()


def row(number: int, *, after: bool = True, label: str = "", entity: str = "") -> RowFacts:
    return RowFacts(
        key=f"k{number}", time=float(number), after_shift=after, label=label, entity=entity
    )


def test_a_row_that_came_twice_counts_once_and_is_counted() -> None:
    chosen = choose_rows([*map(row, range(100)), *map(row, range(10))], RULES)
    assert (chosen.selection.rows, chosen.selection.duplicates) == (110, 10)
    assert len(chosen.train) + len(chosen.evaluated) == 100


def test_an_entity_that_floods_the_stream_is_capped() -> None:
    quiet = [row(n, entity=f"e{n % 50}") for n in range(1_000)]
    flood = [row(n, entity="flood") for n in range(1_000, 10_000)]
    chosen = choose_rows([*quiet, *flood], RULES)
    keys = {r.key for r in flood}
    taken = [key for key in (*chosen.train, *chosen.evaluated) if key in keys]
    assert chosen.selection.capped_entities == 1
    assert chosen.selection.capped_rows == 9_000 - 111
    assert len(taken) <= 111


def test_few_entities_of_equal_size_are_not_capped() -> None:
    chosen = choose_rows([row(n, entity=f"e{n % 3}") for n in range(300)], RULES)
    assert chosen.selection.capped_rows == 0


def test_history_is_balanced_by_class_and_fills_its_share() -> None:
    after = [row(n) for n in range(700)]
    history = [row(n, after=False, label="ab"[n % 20 == 0]) for n in range(1_000, 5_000)]
    selection = choose_rows([*after, *history], RULES).selection
    assert selection.after_shift == 700
    counts = {c.label: (c.available, c.taken) for c in selection.history}
    assert counts == {"a": (3_800, 150), "b": (200, 150)}


def test_without_a_shift_all_rows_are_taken() -> None:
    chosen = choose_rows([row(n, after=False, label=str(n % 2)) for n in range(500)], RULES)
    assert chosen.selection.history == ()
    assert chosen.selection.train + chosen.selection.evaluated == 500


def test_no_entity_is_on_both_sides_and_the_newest_rows_are_evaluated() -> None:
    rows = [row(n, entity=f"e{n % 200}") for n in range(4_000)]
    chosen = choose_rows(rows, RULES)
    entity = {r.key: r.entity for r in rows}
    time = {r.key: r.time for r in rows}
    trained = {entity[key] for key in chosen.train}
    held_back = {entity[key] for key in chosen.evaluated}
    assert trained.isdisjoint(held_back)
    assert 0.1 < len(held_back) / 200 < 0.3
    assert min(time[key] for key in chosen.evaluated) >= 1_900.0
    assert chosen.selection.too_old == pytest.approx(len(chosen.evaluated), abs=2)


rows_drawn = st.lists(
    st.builds(
        RowFacts,
        key=st.text("xyz", min_size=1, max_size=3),
        time=st.floats(0, 100),
        after_shift=st.booleans(),
        label=st.sampled_from(["", "a", "b"]),
        entity=st.sampled_from(["", "e", "f", "g"]),
    ),
    max_size=60,
    unique_by=lambda r: (r.key, r.time),
)


@given(rows_drawn, st.randoms(use_true_random=False))
def test_the_choice_does_not_depend_on_the_order_and_its_numbers_add_up(
    rows: list[RowFacts], order: object
) -> None:
    chosen = choose_rows(rows, RULES)
    shuffled = rows[:]
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    assert choose_rows(shuffled, RULES) == chosen
    keys = Counter([*chosen.train, *chosen.evaluated])
    assert all(count == 1 for count in keys.values())
    s = chosen.selection
    left_out = sum(c.available - c.taken for c in s.history)
    assert s.rows == s.duplicates + s.capped_rows + left_out + s.train + s.evaluated + s.too_old


@given(st.lists(st.integers(1, 1_000), min_size=1, max_size=40), st.floats(0.01, 1.0))
def test_no_entity_keeps_more_than_its_share(counts: list[int], share: float) -> None:
    most = largest_count(counts, share)
    kept = [min(count, most) for count in counts]
    allowed = max(share, 2.0 / len(counts)) * sum(kept)
    assert max(kept) <= max(1.0, allowed)


@given(st.dictionaries(st.text(max_size=2), st.integers(0, 50), max_size=6), st.integers(0, 200))
def test_balanced_numbers_take_all_that_is_wanted(available: dict[str, int], wanted: int) -> None:
    taken = balanced(available, wanted)
    assert sum(taken.values()) == min(wanted, sum(available.values()))
    assert all(0 <= taken[label] <= available[label] for label in available)
