"""The tests of a categorical feature find changed shares and unseen values."""

from __future__ import annotations

import pytest

from streaming.contracts.records import Categories
from streaming.drift import DriftRules
from streaming.drift.statistics.categorical import categorical_tests, prepare_categorical
from streaming.drift.statistics.statistic import TestStatistic
from tests.streaming.drift.statistics.counts import categories

RULES = DriftRules()


def run_tests(reference: Categories, window: Categories) -> dict[str, TestStatistic]:
    prepared = prepare_categorical(reference)
    assert prepared is not None
    tests = categorical_tests(prepared, prepared.align(window), RULES)
    return {test.name: test for test in tests}


def test_equal_shares_have_no_effect() -> None:
    reference = categories(cash=6_000, card=3_000, app=1_000)
    tests = run_tests(reference, categories(cash=600, card=300, app=100))
    assert tests["category"].effect == 0.0
    assert tests["category"].p == 1.0
    assert tests["value"].effect == 0.0


def test_the_effect_of_all_shares_is_cohens_w_and_of_a_single_one_the_probit_distance() -> None:
    reference = categories(cash=50_000, card=50_000)
    tests = run_tests(reference, categories(cash=14_000, card=6_000))
    assert tests["category"].effect == pytest.approx(0.4, abs=0.001)
    assert abs(tests["value"].effect) == pytest.approx(0.5244, abs=0.001)  # Phi^-1(0.7)
    assert tests["value"].value in ("cash", "card")


def test_of_two_categories_cohens_w_is_never_larger_than_the_probit_distance() -> None:
    tests = run_tests(categories(no=99_980, yes=20), categories(no=49_700, yes=300))
    assert tests["category"].effect == pytest.approx(0.32, abs=0.01)  # w is 0.0058 / 0.0141 = 0.41


def test_rare_categories_are_pooled() -> None:
    rare = {f"r{i}": 3 for i in range(100)}
    tests = run_tests(categories(cash=9_700, **rare), categories(cash=970, r1=30))
    assert tests["category"].effect == 0.0


def test_only_the_unseen_test_finds_a_new_category() -> None:
    reference = categories(cash=6_000, card=4_000)
    tests = run_tests(reference, categories(cash=594, card=396, app=10))
    assert tests["unseen"].effect == pytest.approx(0.5, abs=0.01)
    assert tests["unseen"].p < 1e-6
    assert tests["category"].effect == 0.0


def test_of_the_tail_only_the_number_of_rows_is_compared() -> None:
    reference = categories(5_000, cash=3_000, card=2_000)
    equal = run_tests(reference, categories(450, cash=300, card=200, app=50))
    assert equal["unseen"].p > 0.5
    assert equal["category"].effect == 0.0
    larger = run_tests(reference, categories(900, cash=60, card=40))
    assert larger["category"].effect > 0.5


def test_a_constant_category_has_no_chi_square() -> None:
    tests = run_tests(categories(yes=5_000), categories(yes=480, no=20))
    assert set(tests) == {"unseen", "frequent_value"}
    assert tests["unseen"].effect > 0.5
