"""`driftline models | versions | trace` on a log in memory."""

from __future__ import annotations

from msgspec.structs import replace

from deploy.records.describe import describe
from retrain.blessing import BlessingRules, bless
from serving.phase import Phase
from streaming.contracts.log import MemoryLog
from streaming.contracts.recomputed import rules_in_force
from streaming.contracts.records import Metric, Record, RolloutInputs
from tests.deploy.cli.builders import MODEL, promotion, version, waiting
from tests.deploy.cli.runner import data, run
from tests.deploy.records.test_reader import CountingLog
from tests.retrain.builders import request as retrain_request
from tests.serving.rollout_simulation import RolloutSimulation
from tests.serving.rollout_simulation import version as canary_version


def test_models_show_the_live_version_with_its_time_zone() -> None:
    log = MemoryLog()
    assert data(run("models", "--json", log=log)) == {MODEL: None}
    assert "nothing promoted yet" in run("models", log=log).stdout
    log.append([version(1), promotion(1)])
    assert data(run("models", "--json", log=log))[MODEL]["version"] == 1
    assert "1970-01-01 00:00:11 UTC" in run("models", log=log).stdout


def test_versions_are_the_newest_and_read_from_the_end() -> None:
    log = CountingLog()
    log.append([version(number) for number in range(1, 2001)])
    CountingLog.read_so_far = 0
    shown = data(run("versions", MODEL, "--last", "3", "--json", log=log))
    assert [entry["version"] for entry in shown] == [1998, 1999, 2000]
    assert CountingLog.read_so_far <= 16
    assert "0.900" in run("versions", MODEL, log=log).stdout


def test_a_trace_follows_the_causes() -> None:
    log = MemoryLog()
    log.append([version(1), promotion(1)])
    shown = data(run("trace", "1", "--model", MODEL, "--json", log=log))
    assert shown["record"]["kind"] == "promotion"
    assert [cause["record"]["kind"] for cause in shown["causes"]] == ["model-version"]
    assert "version-1" in run("trace", "1", log=log).stdout
    assert run("trace", "7", log=log).exit_code == 3


def test_a_trace_prints_each_record_once() -> None:
    log = MemoryLog()
    ancestor = version(1)
    middle = replace(version(2), caused_by=("version-1",))
    log.append([ancestor, middle, replace(promotion(2), caused_by=("version-2", "version-1"))])
    lines = run("trace", "2", log=log).stdout.splitlines()
    assert len(lines) == 4
    assert sum("version 1 blessed" in line for line in lines) == 1
    assert lines[-1].endswith("(above)  [version-1]")


def blessed_versions() -> list[Record]:
    """The versions of the rollout with the rules, metrics and requests that blessed them."""
    metric = Metric(name="auc", slice="", value=0.9, low=0.89, high=0.91, n=4000)
    rules = rules_in_force("blessing", BlessingRules(), model="m", code="1.0", at=0.0)
    blessing = bless([metric], BlessingRules(), has_champion=False)
    records: list[Record] = [rules]
    for number in (1, 2):
        blessed = replace(
            canary_version(number),
            evaluation=(metric,),
            reason=blessing.reason,
            rules_digest=rules.digest,
        )
        answered = replace(retrain_request(blessed.request_id), model="m")
        records += [answered, blessed]
    return records


def rolled_out() -> RolloutSimulation:
    """Version 2 was promoted after its bake."""
    return RolloutSimulation().start_canary().until_phase(Phase.IDLE)


def test_a_trace_recomputes_the_chain_and_the_whole_rollout() -> None:
    simulation, log = rolled_out(), MemoryLog()
    log.append([*blessed_versions(), *simulation.records])
    name = simulation.promotions[-1].record_id
    shown = run("trace", name, "--recompute", log=log)
    assert shown.exit_code == 0
    assert "byte for byte" in shown.stdout
    results = data(run("trace", name, "--recompute", "--json", log=log))["recomputed"]
    assert {result["outcome"] for result in results} == {"equal"}
    assert sum(result["kind"] == "canary-verdict" for result in results) == len(simulation.verdicts)


def test_a_trace_names_the_record_that_was_changed_and_ends_with_4() -> None:
    simulation, log = rolled_out(), MemoryLog()
    second = simulation.verdicts[1]
    forged = replace(second, requests=second.requests + 1)
    records = [forged if record is second else record for record in simulation.records]
    log.append([*blessed_versions(), *records])
    shown = run("trace", simulation.promotions[-1].record_id, "--recompute", log=log)
    assert shown.exit_code == 4
    assert second.record_id in shown.stdout
    assert "requests" in shown.stdout
    assert "1 of " in shown.stderr


def test_a_trace_of_what_is_not_recorded_ends_with_3() -> None:
    simulation, log = rolled_out(), MemoryLog()
    records = [record for record in simulation.records if not isinstance(record, RolloutInputs)]
    log.append([*blessed_versions(), *records])
    shown = run("trace", simulation.promotions[-1].record_id, "--recompute", log=log)
    assert shown.exit_code == 3
    assert "before inputs were kept" in shown.stdout
    assert "cannot be recomputed" in shown.stderr


def test_an_announcement_is_not_a_refusal() -> None:
    assert describe(waiting("0 of 20 rows.")) == "waiting: 0 of 20 rows."
    refusal = replace(waiting(""), reason="No data.")
    assert describe(refusal) == "refused: No data."
