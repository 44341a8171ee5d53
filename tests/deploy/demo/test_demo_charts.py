"""The charts of a run: what their specifications hold, and their files."""

from __future__ import annotations

import dataclasses
import json
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import msgspec
import pytest

from deploy.demo import charts, checks, rollout_charts
from deploy.demo.control import ArmCount, Second
from deploy.demo.runner import Pace, run_demo
from deploy.demo.scenarios import scenario_named
from deploy.demo.state import DemoState
from deploy.views import quality_charts
from deploy.views.theme import DARK, LIGHT, NARROW, VARIANTS
from tests.deploy.demo.scripted_system import ScriptedSystem

PACE = Pace(events_per_second=20, predictions_per_second=20, history_rows=200)


@pytest.fixture(scope="module")
def last_states(tmp_path_factory: pytest.TempPathFactory) -> dict[str, DemoState]:
    """The last state of some scenarios."""
    states: dict[str, DemoState] = {}
    for name in ("shift", "concept", "quiet", "slow-canary"):
        system = ScriptedSystem()
        run_demo(
            system,
            system.traffic,
            scenario_named(name),
            folder=tmp_path_factory.mktemp(name),
            clock=system.clock,
            pace=PACE,
            on_update=lambda state, name=name: states.update({name: state}),  # type: ignore[misc]
        )
    return states


class Drawn(Protocol):
    """Gives the Vega-Lite specification of a chart of a scenario."""

    def __call__(self, name: str, scenario: str = "shift", suffix: str = "") -> dict[str, Any]: ...


@pytest.fixture(scope="module")
def drawn(last_states: dict[str, DemoState]) -> Drawn:
    """The tests read the specifications; each is made once."""

    @cache
    def specification(name: str, scenario: str = "shift", suffix: str = "") -> dict[str, Any]:
        chart = charts.CHARTS[name](last_states[scenario], VARIANTS[suffix])
        return json.loads(chart.to_json())  # type: ignore[no-any-return]

    return specification


def texts(node: Any) -> set[str]:
    """Every text mark of a specification."""
    if isinstance(node, dict):
        own = {node["text"]} if node.get("type") == "text" and "text" in node else set()
        return own.union(*(texts(value) for value in node.values()))
    if isinstance(node, list):
        return set().union(*(texts(value) for value in node))
    return set()


def headline(specification: dict[str, Any]) -> str:
    """The headline of a chart as one line."""
    return " ".join(specification["title"]["text"])


def test_headlines_state_the_result(drawn: Drawn) -> None:
    assert headline(drawn("drift")) == "9 of 17 windows drifted; fare moved 0.98 sd"
    assert headline(drawn("rollout")).startswith("Version 2 went from 0 to 100 % in 22 s: 0 client")
    assert headline(drawn("quality")) == (
        "AUC of version 1 fell from 0.90 to 0.62; version 2 reaches 0.90"
    )
    assert "version 2 reaches AUC 0.80 against 0.50 of version 1" in headline(drawn("auc"))
    assert headline(drawn("overview")).startswith(
        "Drift found 14 s after the shift, version 2 live"
    )
    assert headline(drawn("overview", "concept")).startswith("Concept drift found")
    assert headline(drawn("drift", "quiet")).startswith("No alarm in 20 windows")
    rolled_back = headline(drawn("rollout", "slow-canary"))
    assert rolled_back.startswith(
        "Version 2 was rolled back at 10 % by latency_p99: 0 client errors"
    )


def test_a_clear_fall_of_the_auc_is_stated_even_without_a_baseline(
    last_states: dict[str, DemoState],
) -> None:
    verdicts = [
        msgspec.structs.replace(verdict, outcome="inconclusive", cause="")
        for verdict in last_states["shift"].timeline.quality
    ]
    assert quality_charts.headline(verdicts) == (
        "AUC of version 1 fell from 0.90 to 0.62; version 2 reaches 0.90"
    )


def test_a_promoted_rollout_ends_at_100_percent(last_states: dict[str, DemoState]) -> None:
    state = last_states["shift"]
    rows = rollout_charts.share_rows(state, charts.time_axis(state))
    assert [row["share"] for row in rows][-1] == 100.0
    shares = [row["share"] for row in rows]
    assert shares == sorted(shares)
    assert set(shares) == {0.0, 10.0, 25.0, 50.0, 100.0}


def test_a_rolled_back_rollout_ends_at_0_percent(last_states: dict[str, DemoState]) -> None:
    state = last_states["slow-canary"]
    rows = rollout_charts.share_rows(state, charts.time_axis(state))
    assert [row["share"] for row in rows][-1] == 0.0
    assert max(row["share"] for row in rows) == 10.0


def test_the_rollout_shows_arms_gates_and_errors(
    last_states: dict[str, DemoState], drawn: Drawn
) -> None:
    state = last_states["shift"]
    axis = rollout_charts.rollout_axis(state, 2, charts.time_axis(state))
    rows = rollout_charts.arm_rows(state, axis)
    assert {row["arm"] for row in rows} == {"stable", "control", "canary"}
    sent = sum(s.requests for s in state.seconds if axis.left <= s.at <= axis.stop)
    assert sum(row["requests"] for row in rows) == sent
    chart = drawn("rollout")
    titles = [panel["title"]["text"] for panel in chart["vconcat"] if "title" in panel]
    assert [title.split(":")[0] for title in titles] == ["stable", "control", "canary", "gates"]
    assert all("0 errors" in title for title in titles[:3])
    assert {"errors", "latency p99", "pass"} <= texts(chart)


def test_the_totals_of_the_arms_add_up_to_the_headline(
    last_states: dict[str, DemoState], drawn: Drawn
) -> None:
    state = last_states["shift"]
    requests, errors = state.rollout_client_counts(2)
    totals = rollout_charts.arm_totals(state, 2)
    assert requests > 0
    assert sum(requests for requests, _ in totals.values()) == requests
    assert sum(errors for _, errors in totals.values()) == errors
    chart = drawn("rollout")
    titles = [panel["title"]["text"] for panel in chart["vconcat"] if "title" in panel]
    assert titles[0] == f"stable: {totals['stable'][0]:,} requests, 0 errors"
    assert f"{requests:,} requests during the rollout" in headline(drawn("rollout"))


def test_the_seconds_of_the_rollout_are_those_between_its_markers(
    last_states: dict[str, DemoState],
    drawn: Drawn,
) -> None:
    state = last_states["shift"]
    at = {marker.label: marker.at for marker in charts.time_axis(state).markers}
    seconds = at["version 2 live"] - at["canary"]
    assert f"from 0 to 100 % in {seconds:.0f} s:" in headline(drawn("rollout"))


def test_the_canary_check_names_verdicts_that_are_still_collecting(
    last_states: dict[str, DemoState],
) -> None:
    state = last_states["shift"]
    verdict = next(v for v in state.timeline.canary if v.outcome == "pass")
    collecting = msgspec.structs.replace(verdict, outcome="insufficient")
    timeline = dataclasses.replace(state.timeline, canary=[collecting, verdict, collecting])
    check = checks.canary_passed(dataclasses.replace(state, timeline=timeline))
    assert check.passed
    assert check.seen == "1 pass, 2 still collecting, 0 fail"


def test_seconds_without_requests_are_zero(last_states: dict[str, DemoState]) -> None:
    state = last_states["shift"]
    axis = rollout_charts.rollout_axis(state, 2, charts.time_axis(state))
    start = int(axis.left) + 1
    arms: tuple[dict[str, int], ...] = ({"stable": 5}, {"canary": 3}, {}, {"stable": 4})
    seconds = [
        Second(at=start + number, arms={arm: ArmCount(requests=n) for arm, n in counts.items()})
        for number, counts in enumerate(arms)
    ]
    rows = rollout_charts.arm_rows(dataclasses.replace(state, seconds=seconds), axis)
    requests = {
        arm: [row["requests"] for row in rows if row["arm"] == arm] for arm in ("stable", "canary")
    }
    assert requests == {"stable": [5, 0, 0, 4], "canary": [0, 3, 0, 0]}


def test_only_states_that_occur_are_shown(drawn: Drawn) -> None:
    quiet = texts(drawn("quality", "quiet"))
    assert quiet & {"stable", "suspected", "degraded", "inconclusive"} == {"stable"}
    concept = texts(drawn("quality", "concept"))
    assert concept >= {"stable", "suspected", "degraded"}
    assert "inconclusive" not in concept


def test_all_charts_over_time_mark_the_same_moments(drawn: Drawn) -> None:
    moments = {"shift", "retrain", "canary", "version 1 live", "version 2 live"}
    for name in ("overview", "drift", "quality"):
        assert moments <= texts(drawn(name))
    assert {"canary", "version 2 live"} <= texts(drawn("rollout"))


def test_panels_of_the_overview_share_width_and_time(drawn: Drawn) -> None:
    chart = drawn("overview")
    assert len(chart["vconcat"]) == 3
    assert len({panel["width"] for panel in chart["vconcat"]}) == 1
    domains = {
        tuple(layer["encoding"]["x"]["scale"]["domain"])
        for panel in chart["vconcat"]
        for layer in panel["layer"]
        if "scale" in layer.get("encoding", {}).get("x", {})
    }
    assert len(domains) == 1


def test_auc_has_intervals_and_the_champion(last_states: dict[str, DemoState]) -> None:
    rows = charts.auc_rows(last_states["shift"])
    assert [(row["label"], row["kind"]) for row in rows] == [
        ("after the shift: version 2", "challenger"),
        ("after the shift: version 1", "champion"),
        ("all rows: version 2", "challenger"),
    ]
    assert rows[0]["low"] < rows[0]["auc"] < rows[0]["high"]


def test_intervals_are_promised_for_the_version_that_has_them(
    last_states: dict[str, DemoState],
    drawn: Drawn,
) -> None:
    state = last_states["shift"]
    title = drawn("auc")["title"]
    assert " ".join(title["subtitle"]).endswith("the bars are 95 % intervals of version 2.")
    without = [{**row, "low": None} for row in charts.auc_rows(state)]
    assert charts.auc_note(state, without) == "Evaluation on held-back rows."


@pytest.mark.parametrize("name", list(charts.CHARTS))
def test_variants_differ_in_colours_and_width_only(name: str, drawn: Drawn) -> None:
    specifications = {suffix: drawn(name, suffix=suffix) for suffix in VARIANTS}
    assert specifications[""]["background"] == LIGHT.background
    assert specifications["-dark"]["background"] == DARK.background
    for suffix in ("-narrow", "-narrow-dark"):
        panels = specifications[suffix].get("vconcat", [specifications[suffix]])
        assert all(panel["width"] < NARROW for panel in panels)


def legends(node: Any) -> list[Any]:
    """The legend of every encoding by colour or shape of a field."""
    if isinstance(node, dict):
        own = [
            channel.get("legend", "default")
            for name in ("color", "shape")
            if isinstance(channel := node.get("encoding", {}).get(name), dict)
            and "field" in channel
        ]
        return own + [legend for value in node.values() for legend in legends(value)]
    if isinstance(node, list):
        return [legend for value in node for legend in legends(value)]
    return []


def test_series_are_labelled_directly_and_not_by_a_legend(
    drawn: Drawn,
) -> None:
    for name in charts.CHARTS:
        assert set(legends(drawn(name))) <= {None}, name
    drift = drawn("drift")
    assert legends(drift)
    assert {"fare", "trip_miles"} <= texts(drift)


def test_charts_without_data_are_left_out(tmp_path: Path) -> None:
    system = ScriptedSystem(traffic_dies=True)
    states: list[DemoState] = []
    run_demo(
        system, system.traffic, scenario_named("shift"), folder=tmp_path, clock=system.clock,
        pace=PACE, on_update=states.append,
    )  # fmt: skip
    assert [file.name for file in charts.draw(states[-1], tmp_path / "charts")] == ["auc.png"]


def test_every_variant_is_written(
    tmp_path: Path, last_states: dict[str, DemoState], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(charts, "CHARTS", {"auc": charts.CHARTS["auc"]})
    files = charts.draw(last_states["shift"], tmp_path)
    assert [file.name for file in files] == ["auc.png"]
    names = {file.name for file in tmp_path.iterdir()}
    assert names == {f"auc{suffix}.svg" for suffix in VARIANTS} | {"auc.png", "auc-dark.png"}
    assert files[0].read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "auc-narrow.svg").read_text().lstrip().startswith("<svg")
