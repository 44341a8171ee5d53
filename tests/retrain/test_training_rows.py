from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrain.row_columns import RowColumns, choose_columns
from retrain.tasks.bootstrap import MIN_ENTITIES
from retrain.training_rows import RowFacts, balanced, choose_rows, largest_count
from streaming.contracts.ids import number_of
from streaming.contracts.records import RowRules

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
    assert chosen.selection.by_entity
    assert 0.1 < len(held_back) / 200 < 0.3
    assert min(time[key] for key in chosen.evaluated) >= 1_900.0
    assert chosen.selection.too_old == pytest.approx(len(chosen.evaluated), abs=2)


def test_where_few_entities_would_be_held_back_single_rows_are() -> None:
    rows = [row(n, entity=f"e{n % 60}") for n in range(4_000)]
    chosen = choose_rows(rows, RULES)
    entity = {r.key: r.entity for r in rows}
    assert not chosen.selection.by_entity
    assert len({entity[key] for key in chosen.evaluated}) == 60
    assert len(chosen.evaluated) == pytest.approx(800, abs=80)
    assert len(chosen.train) + len(chosen.evaluated) == 4_000


def test_as_many_entities_are_held_back_as_an_interval_needs() -> None:
    assert RULES.min_entities == MIN_ENTITIES


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


@given(
    rows=st.lists(
        st.builds(
            RowFacts,
            key=st.integers(0, 10**6).map(str),
            time=st.integers(0, 20).map(float),
            after_shift=st.booleans(),
            label=st.sampled_from(["", "a", "b"]),
            slice=st.sampled_from(["", "x", "y", "z"]),
            entity=st.sampled_from(["", "e", "f", "g", "h"]),
        ),
        max_size=120,
        unique_by=lambda r: r.key,
    ),
    share=st.sampled_from([0.1, 0.5, 0.9]),
    min_entities=st.sampled_from([0, 2, 30]),
)
def test_columns_choose_the_same_rows(
    rows: list[RowFacts], share: float, min_entities: int
) -> None:
    rules = RowRules(
        after_shift_share=share, entity_share=share, eval_share=share, min_entities=min_entities
    )
    expected = choose_rows(rows, rules)
    ordered = sorted(rows, key=lambda r: number_of(r.key, size=8))
    names = sorted({(r.label, r.slice) for r in rows})
    entities = sorted({r.entity for r in rows if r.entity})
    columns = RowColumns(
        hashes=np.array([number_of(r.key, size=8) for r in ordered], np.uint64),
        times=np.array([r.time for r in ordered], np.float64),
        after_shift=np.array([r.after_shift for r in ordered], np.bool_),
        strata=np.array([names.index((r.label, r.slice)) for r in ordered], np.int64),
        names=tuple(names),
        entities=np.array(
            [entities.index(r.entity) if r.entity else -1 for r in ordered], np.int64
        ),
        entity_names=tuple(entities),
    )
    chosen = choose_columns(columns, rules)
    keys = np.array([r.key for r in ordered], object)
    assert tuple(keys[chosen.train]) == expected.train
    assert tuple(keys[chosen.evaluated]) == expected.evaluated
    assert chosen.selection == expected.selection


def test_history_is_balanced_by_slice_within_a_class() -> None:
    after = [row(n) for n in range(700)]
    history = [
        dataclasses.replace(row(n, after=False), slice="rare" if n % 20 == 0 else "common")
        for n in range(1_000, 5_000)
    ]
    chosen = choose_rows([*after, *history], RULES)
    (count,) = chosen.selection.history
    assert (count.taken, count.slices) == (300, 2)
    rare = {r.key for r in history if r.slice == "rare"}
    assert sum(key in rare for key in (*chosen.train, *chosen.evaluated)) == 150
