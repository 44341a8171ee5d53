"""`driftline drift`: tables, one feature in detail, charts, data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from deploy.views.drift_charts import MAX_FEATURES, headline, moved_most, only_feature
from deploy.views.drift_tables import DISTANCES, cell_names
from streaming.contracts.log import MemoryLog
from streaming.contracts.records import DriftVerdict
from streaming.drift import DriftHistory, DriftRules, judge_drift, prepare_reference
from tests.deploy.cli.builders import drift_verdict
from tests.deploy.cli.runner import data, run
from tests.streaming.statistics_data import TRIPS, reference, trips, window


@pytest.fixture(scope="module")
def verdicts() -> list[DriftVerdict]:
    """Quiet, then a number and a category move."""
    rng = np.random.default_rng(21)
    prepared = prepare_reference(reference(trips(rng, 20_000)), TRIPS)
    history, verdicts = DriftHistory(), []
    for at in range(8):
        change = {
            "lognormal": lambda x, _: x * 2.0,
            "payment": lambda x, r: np.where(r.random(len(x)) < 0.1, "App [new]", x),
        }
        batch = trips(rng, 2_000, change=change if at >= 4 else None)
        summary = window(at, batch)
        verdict, history = judge_drift(summary, prepared, "promotion", history, DriftRules(), TRIPS)
        verdicts.append(
            replace(verdict, model="big_tipper", season="Thu 00h, 2 periods of history")
        )
    return verdicts


@pytest.fixture
def log(verdicts: list[DriftVerdict]) -> MemoryLog:
    filled = MemoryLog()
    filled.append(verdicts)
    return filled


def test_windows_and_features_are_shown_with_limits_and_distances(log: MemoryLog) -> None:
    shown = run("drift", "big_tipper", log=log)
    assert shown.exit_code == 0, shown.stderr
    assert "drifted" in shown.stdout
    assert "Thu 00h" in shown.stdout
    row = next(line for line in shown.stdout.splitlines() if line.startswith("lognormal"))
    assert "location" in row
    assert "0.50" in row  # the limit of what is drifted, in standard deviations
    for name in ("limit sd", "limit p", *DISTANCES.values()):
        assert name in shown.stdout


@pytest.mark.parametrize(
    ("feature", "words"),
    [("lognormal", ("dispersion", "–", "█")), ("payment", ("Cash", "(others)", "unseen"))],
)
def test_one_feature_shows_tests_and_both_histograms(
    log: MemoryLog, feature: str, words: tuple[str, ...]
) -> None:
    words_of_command = ("drift", "big_tipper", "--feature", feature)
    shown = run(*words_of_command, log=log)
    assert shown.exit_code == 0, shown.stderr
    for word in (*words, "this window", "PSI"):
        assert word in shown.stdout
    rows = data(run(*words_of_command, "--json", "--last", "3", log=log))
    assert [row["feature"] for row in rows] == [feature] * 3
    assert sum(rows[-1]["histogram"]["window"]) == pytest.approx(1.0, abs=1e-3)


def test_the_json_is_the_records(log: MemoryLog) -> None:
    rows = data(run("drift", "big_tipper", "--json", "--last", "2", log=log))
    assert [row["kind"] for row in rows] == ["drift-verdict"] * 2
    assert rows[0]["features"][0]["distances"].keys() == DISTANCES.keys()


def test_an_unknown_feature_is_exit_3_with_a_suggestion(log: MemoryLog) -> None:
    shown = run("drift", "big_tipper", "--feature", "lognormals", log=log)
    assert shown.exit_code == 3
    assert "Did you mean lognormal?" in shown.stderr


@pytest.mark.parametrize(
    ("name", "feature"), [("drift.png", []), ("drift.svg", ["--feature", "payment"])]
)
def test_the_chart_is_drawn(log: MemoryLog, tmp_path: Path, name: str, feature: list[str]) -> None:
    file = tmp_path / name
    shown = run("drift", "big_tipper", "--plot", str(file), *feature, log=log)
    assert shown.exit_code == 0, shown.stderr
    content = file.read_bytes()
    assert content[:4] == b"\x89PNG" if name.endswith("png") else b"reference" in content


def test_a_chart_needs_a_known_suffix(log: MemoryLog) -> None:
    shown = run("drift", "big_tipper", "--plot", "x.jpg", log=log)
    assert shown.exit_code == 2
    assert ".png or .svg" in shown.stderr


def test_the_features_with_the_largest_effects_are_drawn(verdicts: list[DriftVerdict]) -> None:
    assert {"lognormal", "payment"} <= set(moved_most(verdicts)[:3])
    assert len(moved_most(verdicts)) == MAX_FEATURES


def test_each_bin_has_a_name_of_its_own(verdicts: list[DriftVerdict]) -> None:
    for feature in verdicts[-1].features:
        assert feature.histogram is not None
        names = cell_names(feature.histogram)
        assert len(set(names)) == len(names) == len(feature.histogram.window)


@pytest.mark.parametrize(("feature", "code"), [([], 0), (["--feature", "fare"], 3)])
def test_without_a_reference_the_command_names_it(feature: list[str], code: int) -> None:
    log = MemoryLog()
    log.append([replace(drift_verdict(), reference_version=0, features=())])
    shown = run("drift", "big_tipper", *feature, log=log)
    assert shown.exit_code == code
    assert "not judged, because there is no reference yet" in shown.output
    assert "effect sd" not in shown.stdout


def test_a_window_that_was_not_judged_says_why() -> None:
    log = MemoryLog()
    log.append([replace(drift_verdict(reason="Only 9 rows."), features=())])
    shown = run("drift", "big_tipper", log=log)
    assert "The newest window was not judged: Only 9 rows." in shown.stdout


def test_the_headline_of_one_feature_is_about_this_feature(verdicts: list[DriftVerdict]) -> None:
    assert "payment moved" in headline(only_feature(verdicts, "payment"))
    largest = moved_most(verdicts)[0]
    assert f"{largest} " in headline(verdicts)
