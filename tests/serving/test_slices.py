"""A canary is judged in each slice of the requests: what fails, what passes, and what is too small.

The shares with which harm is found at 20 to 1,000 requests per second are simulated in
`tests/simulations/canary`.
"""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.counts import add as add_blocks
from serving.counts import difference
from serving.engines.memory import InMemoryServing
from serving.gates import judge_gates
from serving.phase import Phase
from serving.ports import Arm, ArmCounters, Scrape, SliceCounters
from serving.rules import RolloutRules
from serving.slice_counts import add_slices, slice_shares
from serving.slice_limits import is_large, slice_requests, smallest_slice_harm
from serving.slice_rules import MAX_SLICES, SliceRules
from serving.state import Block, SliceBlock
from serving.verdict import judge
from streaming.contracts.errors import ConfigurationError
from streaming.contracts.records import GateResult
from tests.serving.recomputing import computed_again
from tests.serving.rollout_simulation import RolloutSimulation, quick_rules, version

TENANTS = SliceRules(header="x-tenant", values=("acme", "beta", "tiny"))
RULES = RolloutRules(slices=TENANTS)
LAST = len(RULES.weights) - 1


def blocks(
    count: int,
    acme: SliceBlock,
    *,
    n: int = 200,
    step: int = LAST,
    run: int = 1,
    errors: tuple[int, int, int] = (0, 0, 0),
) -> list[Block]:
    """Blocks with `n` requests per arm and twice as many of the stable arm."""
    return [
        Block(
            run,
            step,
            n1=n,
            n0=n,
            errors1=errors[0],
            errors0=errors[1],
            timed1=n,
            timed0=n,
            n_stable=2 * n,
            errors_stable=errors[2],
            timed_stable=2 * n,
            slices=(acme, SliceBlock("beta", n // 5, n // 5, 2 * n // 5)),
        )
    ] * count


def gates(of: list[Block], *, rules: RolloutRules = RULES, **changes: int) -> dict[str, GateResult]:
    at = {"run": of[-1].run, "step": of[-1].step, **changes}
    results = judge_gates(of, run=at["run"], step=at["step"], rules=rules)
    return {result.gate: result for result in results}


def failing(requests: int = 2) -> SliceBlock:
    """Every request of the canary fails."""
    return SliceBlock("acme", requests, requests, 2 * requests, errors1=requests)


HEALTHY = SliceBlock("acme", 2, 2, 4)


def test_a_slice_that_fails_wholly_fails_the_canary_and_is_named() -> None:
    result = gates(blocks(18, failing(), errors=(2, 0, 0)))["errors_by_slice"]
    assert result.outcome == "fail"
    assert "In slice acme (x-tenant) the canary has 100.00 percentage points more" in result.reason
    by_name = {part.name: part for part in result.slices}
    assert by_name["acme"].outcome == "fail"
    assert (by_name["acme"].bad, by_name["acme"].requests) == (36, 36)
    assert by_name["beta"].outcome == "pass"


def test_the_harm_of_a_slice_is_small_in_all_requests() -> None:
    """Two of 1,000 requests: far below what the gate over all requests tolerates."""
    of = blocks(18, failing(), n=1_000, errors=(2, 0, 0))
    results = gates(of)
    assert results["errors"].outcome == "pass"
    assert results["errors_by_slice"].outcome == "fail"
    assert judge(tuple(results.values()), silent_seconds=0, stale_seconds=15).outcome == "fail"


def test_more_slices_need_more_evidence() -> None:
    def of_slices(count: int) -> float:
        named = (*TENANTS.values, *(f"t{n}" for n in range(count - len(TENANTS.values))))
        rules = RolloutRules(slices=SliceRules(header="x-tenant", values=named))
        result = gates(blocks(15, failing(), errors=(2, 0, 0)), rules=rules)["errors_by_slice"]
        return next(sample.value for sample in result.samples if sample.name == "log_e_harm")

    assert of_slices(3) - of_slices(20) == pytest.approx(1.897, abs=1e-3)  # log(20 / 3)


def test_a_slice_with_too_few_requests_decides_nothing_and_is_named() -> None:
    result = gates(blocks(30, HEALTHY))["errors_by_slice"]
    assert result.outcome == "pass"
    (tiny,) = [part for part in result.slices if part.name == "tiny"]
    assert (tiny.outcome, tiny.holds, tiny.smallest_harm) == ("insufficient", False, 1.0)
    assert "Too few requests to judge: tiny (0 of 0 against 0 of 0" in result.reason


def test_a_slice_that_will_be_too_small_is_named_from_the_first_step_on() -> None:
    result = gates(blocks(4, HEALTHY, step=0))["errors_by_slice"]
    assert "Too few requests to judge: tiny" in result.reason
    assert {part.name: part.holds for part in result.slices} == {
        "acme": True,
        "beta": True,
        "tiny": False,
    }


def test_a_large_slice_must_disprove_its_margin_before_the_promotion() -> None:
    few = gates(blocks(4, HEALTHY))["errors_by_slice"]
    assert few.outcome == "insufficient"
    assert "Slice acme: about" in few.reason
    assert few.missing > 100  # of all requests, of which acme has one in a hundred
    assert gates(blocks(10, HEALTHY))["errors_by_slice"].outcome == "pass"
    # the first steps need no proof of a slice that hardly any request of the canary has
    assert gates(blocks(4, HEALTHY, step=0))["errors_by_slice"].outcome == "pass"


def test_a_protective_pause_hides_no_harm_of_a_slice() -> None:
    before = blocks(5, failing(), errors=(2, 0, 0))
    after = blocks(10, HEALTHY, run=2)
    assert gates(after)["errors_by_slice"].outcome == "pass"
    assert gates([*before, *after])["errors_by_slice"].outcome == "insufficient"


def test_a_control_that_is_sick_in_one_slice_is_an_error() -> None:
    both = SliceBlock("acme", 2, 2, 4, errors1=2, errors0=2)
    results = gates(blocks(18, both, errors=(2, 2, 0)))
    assert results["errors_by_slice"].outcome != "fail"
    sick = results["control_errors_by_slice"]
    assert sick.outcome == "error"
    assert "The control is sick: in slice acme" in sick.reason
    verdict = judge(tuple(results.values()), silent_seconds=0, stale_seconds=15)
    assert verdict.outcome == "error"
    assert verdict.control_is_sick


def test_slow_responses_of_a_slice_fail_too() -> None:
    slow = SliceBlock("acme", 2, 2, 4, slow1=2)
    assert gates(blocks(18, slow))["slow_by_slice"].outcome == "fail"


def test_without_slices_there_is_no_gate_and_no_cost() -> None:
    of = blocks(12, failing(), errors=(2, 0, 0))
    plain = gates(of, rules=RolloutRules())
    assert not [name for name in plain if name.endswith("by_slice")]
    alpha = {sample.name: sample.value for sample in plain["errors"].samples}["alpha"]
    assert alpha == RULES.alphas.errors
    shared = {sample.name: sample.value for sample in gates(of)["errors"].samples}["alpha"]
    assert shared == pytest.approx(0.7 * alpha)


def test_a_slice_that_was_renamed_in_the_settings_is_left_out() -> None:
    renamed = RolloutRules(slices=SliceRules(header="x-tenant", values=("gamma",)))
    result = gates(blocks(18, failing()), rules=renamed)["errors_by_slice"]
    assert [(part.name, part.requests) for part in result.slices] == [("gamma", 0)]


@given(st.floats(0.0, 1.0), st.integers(0, LAST))
def test_what_is_large_enough_gets_its_requests_in_time(share: float, step: int) -> None:
    if is_large(RULES, step, share) and share:
        from serving.margins import requests_to_pass

        assert slice_requests(RULES, step) / share <= 4.5 * requests_to_pass(RULES, step) * 1.000001


@given(st.floats(0.0, 1e6), st.floats(0.0, 1e6))
def test_more_requests_find_smaller_harm(a: float, b: float) -> None:
    few, many = sorted((a, b))
    assert smallest_slice_harm(RULES, many) <= smallest_slice_harm(RULES, few) <= 1.0


# ------------------------------------------------------------------------ counts


def scrape(at: float, arm: Arm, *parts: SliceCounters, requests: int = 100) -> Scrape:
    counters = ArmCounters(
        arm=arm, requests=requests, errors=0, timed=requests, slow=0, slices=parts
    )
    return Scrape(at=at, uptime_seconds=at, arms=(counters,))


def part(name: str, requests: int, errors: int = 0) -> SliceCounters:
    return SliceCounters(name=name, requests=requests, errors=errors, timed=requests, slow=0)


def test_blocks_have_the_differences_of_each_slice() -> None:
    before = scrape(1.0, "stable", part("acme", 5, 1))
    after = scrape(2.0, "stable", part("acme", 9, 2), part("beta", 3), requests=120)
    block = difference(before, after, run=1, step=0)
    assert block is not None
    assert block.slices == (
        SliceBlock("acme", n_stable=4, errors_stable=1),
        SliceBlock("beta", n_stable=3),
    )


def test_a_pair_of_scrapes_that_lacks_a_slice_counts_nothing() -> None:
    before = scrape(1.0, "stable", part("acme", 5))
    assert difference(before, scrape(2.0, "stable", requests=120), run=1, step=0) is None


SLICE_BLOCKS = st.lists(
    st.builds(SliceBlock, st.sampled_from(["a", "b", "c"]), st.integers(0, 9), st.integers(0, 9)),
    max_size=3,
    unique_by=lambda block: block.name,
).map(lambda parts: Block(1, 0, slices=tuple(sorted(parts, key=lambda part: part.name))))


@settings(max_examples=25)
@given(SLICE_BLOCKS, SLICE_BLOCKS, SLICE_BLOCKS)
def test_sums_do_not_depend_on_the_order(a: Block, b: Block, c: Block) -> None:
    assert add_blocks(add_blocks(a, b), c) == add_blocks(a, add_blocks(b, c))
    assert add_slices(a.slices, b.slices) == add_slices(b.slices, a.slices)


def test_blocks_survive_their_encoding() -> None:
    of = blocks(2, failing())
    assert msgspec.json.decode(msgspec.json.encode(of), type=list[Block]) == of


def test_copies_have_no_share_in_a_slice() -> None:
    of = [*blocks(1, HEALTHY), Block(1, -1, 1000, 1000)]
    assert slice_shares(of, ["acme", "tiny"]) == {"acme": 0.01, "tiny": 0.0}


# ------------------------------------------------------------------------ settings


@pytest.mark.parametrize(
    "given_settings",
    [
        {"header": "x-tenant"},
        {"values": ("acme",)},
        {"header": "X-Tenant", "values": ("acme",)},
        {"header": "x-tenant", "values": ("acme", "acme")},
        {"header": "x-tenant", "values": ("",)},
        {"header": "x-tenant", "values": ("other",)},
        {"header": "x-tenant", "values": tuple(f"t{n}" for n in range(MAX_SLICES + 1))},
        {"header": "x-tenant", "values": ("acme",), "harm": 0.0},
    ],
)
def test_slices_that_cannot_work_are_refused(given_settings: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        SliceRules(**given_settings)  # type: ignore[arg-type]


# ------------------------------------------------------------------------ whole rollouts


def simulation(**slice_errors: float) -> RolloutSimulation:
    """100 requests a second; version 2 fails the slice `acme`, of 2 % of them, as given."""
    serving = InMemoryServing(
        rate=100.0,
        slices={"acme": 0.02, "beta": 0.3},
        slice_errors={(2, name): share for name, share in slice_errors.items()},
    )
    return RolloutSimulation(serving=serving, rules=quick_rules(slices=TENANTS, errors_pp=5.0))


def test_a_rollout_that_fails_one_slice_is_rolled_back_with_its_name() -> None:
    run = simulation(acme=1.0).start_canary()
    run.until(lambda now: now.phase in (Phase.ROLLING_BACK, Phase.IDLE))
    assert run.live == 1
    failed = next(verdict for verdict in run.verdicts if verdict.outcome == "fail")
    assert "In slice acme" in failed.reason
    assert "tiny" not in failed.reason


def test_the_plan_names_each_slice_before_the_first_weight() -> None:
    run = simulation()
    run.send(version(1)).until_live(1)
    run.serving.answers.silent = True  # the comparison of answers takes a while
    run.send(version(2)).until_phase(Phase.COMPARING).run(15)
    run.serving.answers.silent = False
    run.until_phase(Phase.STEPPING)
    planned = next(status.reason for status in run.statuses if "requests/s" in status.reason)
    assert "In a slice: acme (" in planned
    assert "tiny (0 % of the requests): too few requests" in planned


def test_a_healthy_rollout_goes_live_and_says_what_it_could_not_judge() -> None:
    run = simulation().start_canary().until_live(2)
    again = computed_again([version(1), version(2), *run.records])
    assert {result.outcome for result in again} == {"equal"}
    passed = [verdict for verdict in run.verdicts if verdict.outcome == "pass" and verdict.weight]
    assert "Too few requests to judge: tiny" in passed[-1].reason


def test_a_slice_that_fails_after_the_promotion_is_taken_back() -> None:
    run = simulation().start_canary().until_phase(Phase.BAKING)
    run.serving.slice_errors = {(2, "acme"): 1.0}
    run.until_live(1)
    assert "In slice acme" in run.promotions[-1].reason
