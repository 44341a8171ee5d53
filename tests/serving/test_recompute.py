"""Every verdict of a rollout is computed again from the records of the log, byte for byte."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace as replace_rules
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from serving.evidence.rules import EvidenceRules, PredictionGateRules
from serving.phase import Phase
from streaming.contracts.codec import encode
from streaming.contracts.recomputed import Recomputed
from streaming.contracts.records import (
    AnyRecord,
    CanaryVerdict,
    PredictionScores,
    QualityVerdict,
    Record,
    RolloutInputs,
    RulesInForce,
)
from tests.serving.evidence import test_predictions as scores
from tests.serving.evidence import test_realised_quality as labels
from tests.serving.evidence import test_task_gates as task_gates
from tests.serving.evidence.test_rollout_evidence import CANARY, CHAMPION, gate
from tests.serving.recomputing import computed_again
from tests.serving.rollout_simulation import RolloutSimulation, quick_rules, version
from tests.streaming.quality.task_populations import NO_CHANGE


def log_of(simulation: RolloutSimulation, *sent: AnyRecord) -> list[Record]:
    return [version(1), version(2), *sent, *simulation.records]


def outcomes(results: Sequence[Recomputed]) -> Counter[str]:
    return Counter(result.outcome for result in results)


def reasons(results: Sequence[Recomputed]) -> set[str]:
    return {f"{r.kind}: {r.reason}" for r in results if r.outcome != "equal"}


def promoted(**rules: Any) -> RolloutSimulation:
    simulation = RolloutSimulation(rules=quick_rules(**rules)).start_canary()
    return simulation.until_phase(Phase.IDLE)


@settings(max_examples=15, deadline=None)
@given(
    errors=st.sampled_from([0.0, 0.004, 0.03, 0.6]),
    late=st.booleans(),
    approval=st.sampled_from(["never", "before-canary", "before-promotion"]),
    lost=st.lists(st.integers(1, 60), max_size=3),
    commands=st.lists(
        st.tuples(st.integers(1, 60), st.sampled_from(["pause", "resume", "promote", "abort"])),
        max_size=3,
    ),
    seed=st.integers(0, 1000),
)
def test_every_verdict_of_a_random_rollout_is_computed_again(
    errors: float,
    late: bool,
    approval: Any,
    lost: list[int],
    commands: list[tuple[int, Any]],
    seed: int,
) -> None:
    simulation = RolloutSimulation(rules=quick_rules(approval=approval))
    simulation.serving.seed = seed
    simulation.start_canary()
    simulation.serving.errors = {} if late else {2: errors}
    for second in range(150):
        if second == 40:
            simulation.serving.errors = {2: errors}
        simulation.serving.metrics.down = any(at <= second < at + 20 for at in lost)
        for at, action in commands:
            if at == second:
                simulation.let_on(action, force=True)
        if simulation.phase is Phase.AWAITING_APPROVAL:
            simulation.let_on("approve", force=True)
        simulation.tick()
    results = computed_again(log_of(simulation))
    assert reasons(results) == set()
    assert outcomes(results)["equal"] > 5


def test_scores_labels_and_queries_are_folded_again() -> None:
    evidence = EvidenceRules(
        measured=True, predictions=PredictionGateRules(mode="critical"), queries=(gate(),)
    )
    simulation = RolloutSimulation(rules=quick_rules(evidence=evidence, bake_seconds=60.0))
    simulation.serving.queries.rules = evidence
    simulation.serving.queries.values = {
        gate().rendered(arm="canary", model="m", version=CANARY): 9.9,
        gate().rendered(arm="control", model="m", version=CHAMPION): 10.0,
    }
    simulation.start_canary()
    sent: list[AnyRecord] = []
    rng, champion = np.random.default_rng(0), scores.shares(-1.3)
    for second in range(400):
        if simulation.phase is Phase.IDLE:
            break
        simulation.tick()
        share = simulation.canary / 100
        if second % 5 == 4 and share:
            sizes = rng.poisson(1000 * np.array([share, 1 - share]))
            counts = {CANARY: rng.multinomial(sizes[0], champion),
                      CHAMPION: rng.multinomial(sizes[1], champion)}  # fmt: skip
            sent.append(scores.record(second, counts))
            simulation.send(sent[-1])
        if second % 60 == 50:
            for arm in (CHAMPION, CANARY):
                sent.append(labels.verdict(arm, second, labels.draw(rng, 0.85, 2000)))
                simulation.send(sent[-1])
    assert simulation.live == CANARY
    results = computed_again(log_of(simulation, *sent))
    assert reasons(results) == set()
    names = {result.gate for verdict in simulation.verdicts for result in verdict.gates}
    assert {"predictions", "quality", "tips"} <= names

    gone = [record for record in sent if record.record_id != sent[3].record_id]
    results = computed_again(log_of(simulation, *gone))
    assert outcomes(results)["missing"] > 1
    assert any(sent[3].record_id in reason for reason in reasons(results))
    assert isinstance(sent[3], PredictionScores)
    first = sent[3].scores[0]
    other = replace(first, counts=tuple(reversed(first.counts)))
    changed = replace(sent[3], scores=(other, *sent[3].scores[1:]))
    results = computed_again(
        log_of(simulation, *(changed if record is sent[3] else record for record in sent))
    )
    assert any("other evidence" in reason for reason in reasons(results))


def test_a_change_of_settings_changes_no_recomputation() -> None:
    simulation = RolloutSimulation(rules=quick_rules()).start_canary().run(15)
    simulation.rules = quick_rules(errors_pp=2.0, hold_seconds=20.0)
    simulation.until_phase(Phase.IDLE)
    rules = [record for record in simulation.records if isinstance(record, RulesInForce)]
    assert len(rules) == 2
    assert reasons(computed_again(log_of(simulation))) == set()
    without = [record for record in log_of(simulation) if record is not rules[0]]
    assert any("are not on the log" in reason for reason in reasons(computed_again(without)))


def test_a_changed_verdict_is_named_with_its_fields() -> None:
    simulation = promoted()
    passed = next(entry for entry in simulation.verdicts if len(entry.gates) > 2)
    better = replace(passed.gates[0], n=passed.gates[0].n + 100)
    forged = replace(passed, outcome="pass", gates=(better, *passed.gates[1:]))
    log = [forged if record is passed else record for record in log_of(simulation)]
    (result,) = (entry for entry in computed_again(log) if entry.outcome != "equal")
    assert (result.outcome, result.record_id) == ("differs", passed.record_id)
    fields = {entry.field: (entry.recorded, entry.recomputed) for entry in result.differences}
    assert fields["gates[0].n"] == (str(better.n), str(passed.gates[0].n))


def test_changed_counts_are_found_by_the_id_of_the_inputs() -> None:
    simulation = promoted()
    inputs = [r for r in simulation.records if isinstance(r, RolloutInputs) and r.blocks]
    forged = replace(inputs[0], blocks=((1, 0, 1, 1), *inputs[0].blocks[1:]))
    log = [forged if record is inputs[0] else record for record in log_of(simulation)]
    results = computed_again(log)
    assert outcomes(results)["differs"] > 0
    assert all(inputs[0].record_id in reason for reason in reasons(results))
    renamed = replace(inputs[-1], record_id="0" * 24)
    log = [renamed if record is inputs[-1] else record for record in log_of(simulation)]
    assert any("were changed" in reason for reason in reasons(computed_again(log)))


def test_changed_rules_are_found_by_their_digest() -> None:
    simulation = promoted()
    (rules,) = (record for record in simulation.records if isinstance(record, RulesInForce))
    forged = replace(rules, text=rules.text.replace('"errors_pp":0.5', '"errors_pp":5.0'))
    assert forged != rules
    log = [forged if record is rules else record for record in log_of(simulation)]
    results = computed_again(log)
    assert set(outcomes(results)) == {"differs"}
    assert any(rules.digest in reason for reason in reasons(results))


def test_inputs_that_are_gone_are_named_and_spoil_only_what_needs_them() -> None:
    simulation = promoted()
    inputs = [r for r in simulation.records if isinstance(r, RolloutInputs) and r.blocks]
    log = [record for record in log_of(simulation) if record is not inputs[1]]
    results = computed_again(log)
    assert outcomes(results)["equal"] > 3, "what came before is computed again"
    missing = {result.reason for result in results if result.outcome == "missing"}
    assert any(inputs[1].record_id in reason for reason in missing)


def test_a_verdict_from_before_inputs_were_kept_says_so() -> None:
    simulation = promoted()
    log = [record for record in log_of(simulation) if not isinstance(record, RolloutInputs)]
    results = computed_again(log)
    assert set(outcomes(results)) == {"missing"}
    assert "before inputs were kept" in results[0].reason


def test_a_state_from_before_inputs_were_kept_goes_on_and_is_computed_again() -> None:
    """An upgrade in the middle of a rollout: its counts are in the first record of inputs."""
    simulation = RolloutSimulation(rules=quick_rules()).start_canary().run(20)
    assert simulation.state.rollout is not None
    plain = msgspec.to_builtins(simulation.state)
    for name in ("unrecorded", "recorded_blocks", "recorded_id"):
        del plain["rollout"][name]
    simulation.state = msgspec.convert(plain, type(simulation.state))
    before = len(simulation.records)
    simulation.until_phase(Phase.IDLE)
    log = [version(1), version(2), *simulation.records[before:], *simulation.promotions[:1]]
    rules = [record for record in simulation.records if isinstance(record, RulesInForce)]
    results = computed_again([*log, *rules])
    assert {r.outcome for r in results if r.kind == "canary-verdict"} == {"equal"}


def test_inputs_cost_less_than_the_verdicts_they_explain() -> None:
    simulation = promoted(hold_seconds=60.0, bake_seconds=600.0)
    sizes: Counter[str] = Counter()
    for record in simulation.records:
        sizes[type(record).__name__] += len(encode(record))
    assert sizes["RolloutInputs"] < sizes["CanaryVerdict"] / 2
    blocks = [row for r in simulation.records if isinstance(r, RolloutInputs) for row in r.blocks]
    assert len(blocks) > 100
    verdicts = [record for record in simulation.records if isinstance(record, CanaryVerdict)]
    assert max(len(encode(r)) for r in simulation.records if isinstance(r, RolloutInputs)) < 4096
    assert len(verdicts) > 20


@pytest.mark.parametrize(
    ("name", "canary", "live"),
    [("classes", "worse", CHAMPION), ("classes", "equal", CANARY), ("counts", "worse", CHAMPION)],
)
def test_a_bounded_loss_is_computed_again(name: str, canary: str, live: int) -> None:
    """Classes, and numbers: their quality is compared by a loss whose scale is the champion's."""
    population, change = task_gates.POPULATIONS[name]
    quality = replace_rules(task_gates.rules_of(population.task), mode="critical", min_labels=500)
    evidence = EvidenceRules(measured=True, quality=quality)
    rules = quick_rules(evidence=evidence, bake_seconds=60.0, deadline_seconds=900.0)
    simulation = RolloutSimulation(rules=rules).start_canary()
    rng, sent = np.random.default_rng(3), list[AnyRecord]()
    for second in range(900):
        if simulation.phase is Phase.IDLE:
            break
        simulation.tick()
        if second % 20 == 15:
            for arm in (CHAMPION, CANARY):
                own = change if arm == CANARY and canary == "worse" else NO_CHANGE
                counts = population.window(rng, 2000, own)
                sent.append(task_gates.verdict(arm, second, counts))
                simulation.send(sent[-1])
    assert simulation.live == live
    assert simulation.phase is Phase.IDLE
    judged = [g for verdict in simulation.verdicts for g in verdict.gates if g.gate == "quality"]
    assert any("bounded loss" in gate.reason for gate in judged)
    assert judged[-1].outcome == ("fail" if canary == "worse" else "pass")
    results = computed_again(log_of(simulation, *sent))
    assert reasons(results) == set()
    assert outcomes(results)["equal"] > 5
    used = next(g for g in reversed(simulation.verdicts) if g.gates)
    assert {r.outcome for r in results if r.record_id == used.record_id} == {"equal"}

    first = sent[0]
    assert isinstance(first, QualityVerdict)
    (losses,) = (entry for entry in first.counts.histograms if entry.name == "loss")
    other = replace(losses, counts=tuple(reversed(losses.counts)))
    histograms = tuple(
        other if entry.name == "loss" else entry for entry in first.counts.histograms
    )
    forged = replace(first, counts=replace(first.counts, histograms=histograms))
    results = computed_again(log_of(simulation, forged, *sent[1:]))
    assert any("other evidence" in reason for reason in reasons(results))
