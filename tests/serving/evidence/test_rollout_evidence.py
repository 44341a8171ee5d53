"""A whole rollout with the gates on scores, realised quality and queries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from serving.evidence.rules import (
    EvidenceRules,
    PredictionGateRules,
    QualityGateRules,
    QueryGate,
)
from serving.phase import Phase
from streaming.contracts.errors import GateFailedError
from streaming.contracts.records import GateResult, Metric
from tests.serving.evidence import test_predictions as scores
from tests.serving.evidence import test_realised_quality as labels
from tests.serving.evidence import test_task_gates as tasks
from tests.serving.rollout_simulation import RolloutSimulation, quick_rules
from tests.streaming.quality.task_populations import NO_CHANGE

CANARY, CHAMPION = 2, 1
SECONDS = 60 * 10


def gate(**changes: Any) -> QueryGate:
    values = {"name": "tips", "query": 'tips{a="$arm",v="$version",m="$model"}',
              "direction": "higher", "margin": 1.0, **changes}  # fmt: skip
    return QueryGate(**values)


def simulation(**changes: Any) -> RolloutSimulation:
    """Version 2 as canary, with these rules for the evidence."""
    evidence = EvidenceRules(**changes)
    rollout = RolloutSimulation(rules=quick_rules(evidence=evidence, bake_seconds=60.0))
    rollout.serving.queries.rules = evidence
    return rollout.start_canary()


def play(rollout: RolloutSimulation, canary: Any, seconds: int = SECONDS) -> RolloutSimulation:
    """Ticks with a record of the served scores every five seconds, until it ends."""
    rng = np.random.default_rng(0)
    champion = scores.shares(-1.3)
    for second in range(seconds):
        if rollout.phase is Phase.IDLE:
            break
        rollout.tick()
        share = rollout.canary / 100
        if second % 5 == 4 and share:
            sizes = rng.poisson(1000 * np.array([share, 1 - share]))
            counts = {CANARY: rng.multinomial(sizes[0], canary(champion)),
                      CHAMPION: rng.multinomial(sizes[1], champion)}  # fmt: skip
            rollout.send(scores.record(second, counts))
    return rollout


def results(rollout: RolloutSimulation, name: str) -> list[GateResult]:
    return [g for verdict in rollout.verdicts for g in verdict.gates if g.gate == name]


@pytest.mark.parametrize("mode", ["soft", "critical"])
def test_flipped_predictions_are_rolled_back(mode: Any) -> None:
    rules = PredictionGateRules(mode=mode)
    rollout = play(simulation(measured=True, predictions=rules), scores.flipped)
    assert rollout.live == CHAMPION
    assert results(rollout, "predictions")[-1].outcome == "fail"
    assert "Kolmogorov" in rollout.verdicts[-1].reason
    assert max(verdict.weight for verdict in rollout.verdicts) == 5


def test_the_same_scores_are_promoted_and_the_verdicts_show_the_gate() -> None:
    rules = PredictionGateRules(mode="critical")
    rollout = play(simulation(measured=True, predictions=rules), scores.same)
    assert rollout.live == CANARY
    assert results(rollout, "predictions")[-1].outcome == "pass"


@pytest.mark.parametrize(("expected", "live"), [(0.35, CANARY), (0.0, CHAMPION)])
@pytest.mark.parametrize("rows", ["", "after_shift:1"])
def test_scores_that_the_evaluation_announced_are_no_harm(
    expected: float, live: int, rows: str
) -> None:
    """A retrain after concept drift is meant to score otherwise; this one by half of the sd."""
    rollout = simulation(measured=True, predictions=PredictionGateRules(mode="critical"))
    assert play(announced(rollout, expected, rows), scores.shifted).live == live


def announced(
    rollout: RolloutSimulation, distance: float, rows: str = "after_shift:1"
) -> RolloutSimulation:
    """With a candidate whose evaluation found this distance of the scores."""
    assert rollout.state.rollout is not None
    metric = Metric(name="score_distance", slice=rows, value=distance, n=2000)
    candidate = replace(rollout.state.rollout.candidate, evaluation=(metric,))
    rollout.state = replace(
        rollout.state, rollout=replace(rollout.state.rollout, candidate=candidate)
    )
    return rollout


def test_a_flipped_head_fails_whatever_the_evaluation_announced() -> None:
    rollout = announced(simulation(measured=True), 0.35, "")
    assert play(rollout, scores.flipped).live == CHAMPION


@pytest.mark.parametrize("expected", [0.85, 0.95, 1.0])
@pytest.mark.parametrize("labelled", [True, False])
def test_a_champion_that_a_shift_broke_wholly_can_be_replaced(
    expected: float, labelled: bool
) -> None:
    rollout = announced(simulation(measured=True), expected)
    if labelled:
        send_windows(rollout, 0.9, 10)
    play(rollout, scores.apart)
    assert rollout.live == CANARY
    last = results(rollout, "predictions")[-1]
    assert last.outcome == ("pass" if labelled else "insufficient")
    assert ("labels exclude" if labelled else "no labels of both versions") in last.reason
    assert {sample.name: sample.value for sample in last.samples}["distance"] > 0.99


def test_labels_that_prove_nothing_yet_hold_the_promotion_of_scores_without_a_limit() -> None:
    rollout = announced(simulation(measured=True), 0.95)
    send_windows(rollout, 0.85, 1, labels_of_window=300)
    play(rollout, scores.apart)
    assert (rollout.live, rollout.canary) == (CHAMPION, 50)
    assert "300 labels have not confirmed it yet" in rollout.verdicts[-1].reason
    send_windows(rollout, 0.9, 20)
    assert rollout.until_live(CANARY).live == CANARY


def test_a_flipped_head_fails_by_its_labels_where_scores_have_no_limit() -> None:
    rollout = announced(simulation(measured=True), 0.95)
    send_windows(rollout, 0.15, 10)
    assert play(rollout, scores.flipped).live == CHAMPION
    assert results(rollout, "quality")[-1].outcome == "fail"


def test_a_critical_gate_without_a_limit_waits_for_labels() -> None:
    rules = PredictionGateRules(mode="critical")
    rollout = announced(simulation(measured=True, predictions=rules), 0.95)
    play(rollout, scores.apart, seconds=200)
    assert (rollout.live, rollout.canary) == (CHAMPION, 5)
    send_windows(rollout, 0.9, 10)
    assert rollout.until_live(CANARY).live == CANARY


def test_a_dry_run_shows_the_fail_and_decides_nothing() -> None:
    rules = PredictionGateRules(mode="dry-run")
    rollout = play(simulation(measured=True, predictions=rules), scores.flipped)
    assert rollout.live == CANARY
    assert {"fail"} <= {result.outcome for result in results(rollout, "predictions")}


def test_applications_that_write_nothing_stop_only_a_critical_gate() -> None:
    rollout = simulation(measured=True).until_live(CANARY)
    assert results(rollout, "predictions")[-1].outcome == "insufficient"
    critical = simulation(measured=True, predictions=PredictionGateRules(mode="critical"))
    critical.run(300)
    assert (critical.live, critical.canary) == (CHAMPION, 5)
    assert critical.verdicts[-1].outcome == "insufficient"


def test_without_a_predictions_topic_there_are_no_such_gates() -> None:
    rollout = simulation().until_live(CANARY)
    assert not results(rollout, "predictions")
    assert not results(rollout, "quality")


def send_windows(
    rollout: RolloutSimulation, auc: float, windows: int, labels_of_window: int = 2000
) -> None:
    rng = np.random.default_rng(5)
    for window in range(windows):
        for arm, area in ((CHAMPION, 0.85), (CANARY, auc)):
            rollout.send(labels.verdict(arm, window, labels.draw(rng, area, labels_of_window)))


def test_a_loss_of_realised_quality_is_rolled_back() -> None:
    rollout = simulation(measured=True).run(5)
    send_windows(rollout, 0.83, 40)
    rollout.until_phase(Phase.IDLE)
    assert rollout.live == CHAMPION
    assert results(rollout, "quality")[-1].outcome == "fail"


@pytest.mark.parametrize("name", ["classes", "numbers"])
@pytest.mark.parametrize("worse", [True, False], ids=["worse", "equal"])
def test_the_loss_of_another_task_decides_a_whole_rollout(name: str, worse: bool) -> None:
    population, change = tasks.POPULATIONS[name]
    rules = QualityGateRules(mode="critical").for_task(population.task)
    rollout = simulation(measured=True, quality=rules).run(5)
    rng = np.random.default_rng(5)
    for window in range(30):
        for arm, own in ((CHAMPION, NO_CHANGE), (CANARY, change)):
            counts = population.window(rng, 1000, own if worse else NO_CHANGE)
            rollout.send(tasks.verdict(arm, window, counts))
    rollout.until_phase(Phase.IDLE)
    assert rollout.live == (CHAMPION if worse else CANARY)
    assert results(rollout, "quality")[-1].outcome == ("fail" if worse else "pass")


def test_labels_that_come_during_the_bake_still_roll_back() -> None:
    rollout = simulation(measured=True).until_phase(Phase.BAKING)
    assert rollout.live == CANARY
    send_windows(rollout, 0.75, 10)
    rollout.until_phase(Phase.IDLE)
    assert rollout.live == CHAMPION
    assert rollout.promotions[-1].change == "rolled-back"
    assert "AUC" in rollout.promotions[-1].reason


def test_missing_labels_hold_a_critical_gate_only() -> None:
    rollout = simulation(measured=True, quality=QualityGateRules(mode="critical")).run(200)
    assert (rollout.live, rollout.canary) == (CHAMPION, 5)
    send_windows(rollout, 0.86, 40)
    assert rollout.until_live(CANARY).live == CANARY


def with_values(rollout: RolloutSimulation, canary: Any, control: Any) -> RolloutSimulation:
    values = rollout.serving.queries.values
    values['tips{a="canary",v="2",m="m"}'] = canary
    values['tips{a="control",v="1",m="m"}'] = control
    return rollout


@pytest.mark.parametrize(("canary", "live"), [(10.0, CANARY), (12.0, CANARY), (6.0, CHAMPION)])
def test_a_query_decides(canary: float, live: int) -> None:
    rollout = with_values(simulation(queries=(gate(),)), canary, 10.0)
    rollout.until_phase(Phase.IDLE, seconds=1200)
    assert rollout.live == live
    assert results(rollout, "tips")[-1].outcome == ("pass" if live == CANARY else "fail")


@pytest.mark.parametrize("mode", ["soft", "dry-run"])
def test_a_query_without_values_holds_only_as_a_critical_gate(mode: Any) -> None:
    assert simulation(queries=(gate(mode=mode),)).until_live(CANARY).live == CANARY
    held = simulation(queries=(gate(),)).run(200)
    assert (held.live, held.canary) == (CHAMPION, 5)


def test_a_query_that_prometheus_refuses_is_an_error_and_a_problem() -> None:
    refused = GateFailedError("The query gives 3 series where one number is needed.")
    rollout = with_values(simulation(queries=(gate(missing="fail"),)), refused, 10.0).run(120)
    assert (rollout.live, rollout.canary) == (CHAMPION, 5)
    assert results(rollout, "tips")[-1].outcome == "error"
    assert "3 series" in rollout.verdicts[-1].reason
