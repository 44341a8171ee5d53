"""A short version of the canary's simulation."""

from __future__ import annotations

import pytest

from tests.simulations.canary import run, run_sliced
from tests.simulations.canary.traffic import FAMILIES, HARMS, NONE, SLICE_HARMS, Family, Harm

INDEPENDENT = FAMILIES[0]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_an_identical_canary_never_fails(family: Family) -> None:
    endings = [run(("ours", family, NONE, 100.0, 500, seed)) for seed in range(4)]
    assert all(ending.result in ("promoted", "held") for ending in endings)
    if family is INDEPENDENT:
        assert any(ending.result == "promoted" for ending in endings)


@pytest.mark.parametrize("harm", HARMS, ids=lambda harm: harm.name)
def test_a_harmful_canary_is_never_promoted(harm: Harm) -> None:
    endings = [run(("ours", INDEPENDENT, harm, 100.0, 900, seed)) for seed in range(3)]
    expected = "control sick" if harm.control_errors or harm.control_slow else "failed"
    assert [ending.result for ending in endings] == [expected] * 3


@pytest.mark.parametrize("harm", SLICE_HARMS, ids=lambda harm: harm.name)
def test_a_canary_that_harms_one_slice_is_never_promoted(harm: Harm) -> None:
    ending = run_sliced((True, INDEPENDENT, harm, 500.0, 240, 15, 1))
    assert ending.result == ("control sick" if harm.control_errors else "failed")


def test_a_slice_that_fails_wholly_is_promoted_where_only_all_requests_are_judged() -> None:
    harm = next(harm for harm in SLICE_HARMS if harm.name.startswith("0.3 %"))
    assert run_sliced((False, INDEPENDENT, harm, 500.0, 900, 15, 1)).result == "promoted"


def test_an_identical_canary_is_promoted_with_slices() -> None:
    ending = run_sliced((True, INDEPENDENT, NONE, 500.0, 500, 15, 1))
    assert ending.result == "promoted"


def test_other_judges_promote_what_ours_fails_and_fail_what_ours_promotes() -> None:
    slow = next(harm for harm in HARMS if harm.name == "p99 250 ms")
    assert run(("Flagger", INDEPENDENT, slow, 100.0, 900, 1)).result == "promoted"
    argo = [run(("Argo", INDEPENDENT, NONE, 100.0, 400, seed)).result for seed in range(12)]
    assert argo.count("failed") >= 6  # of an identical canary
