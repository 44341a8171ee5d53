"""Drift as users meet it: tables, one feature in detail, pictures, data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from deploy.app.deployment import Deployment
from deploy.cli.main import app
from deploy.views.drift_charts import MAX, moved_most
from deploy.views.drift_tables import DISTANCES, cell_names
from streaming.contracts.log import MemoryLog
from streaming.contracts.records import DriftVerdict
from streaming.drift import DriftHistory, DriftRules, judge_drift, prepare_reference
from tests.deploy.promtool import PROJECT
from tests.streaming.statistics_data import TRIPS, reference, trips, window

RUN = CliRunner()
DEMO = PROJECT / "deploy" / "demo.yaml"
WIDE = {"COLUMNS": "260"}


@pytest.fixture(scope="module")
def verdicts() -> list[DriftVerdict]:
    """Quiet, then a number and a category move."""
    rng = np.random.default_rng(21)
    prepared = prepare_reference(reference(trips(rng, 20_000)), TRIPS)
    history, found = DriftHistory(), []
    for at in range(8):
        change = {
            "lognormal": lambda x, _: x * 2.0,
            "payment": lambda x, r: np.where(r.random(len(x)) < 0.1, "App [new]", x),
        }
        batch = trips(rng, 2_000, change=change if at >= 4 else None)
        one = window(at, batch)
        verdict, history = judge_drift(one, prepared, "promotion", history, DriftRules(), TRIPS)
        found.append(replace(verdict, model="big_tipper", season="Thu 00h, 2 periods of history"))
    return found


@pytest.fixture
def log(verdicts: list[DriftVerdict], monkeypatch: pytest.MonkeyPatch) -> MemoryLog:
    made = MemoryLog()
    made.append(verdicts)

    @contextmanager
    def opened(_house: Deployment) -> Iterator[MemoryLog]:
        yield made

    monkeypatch.setattr(Deployment, "log", opened)
    return made


def test_windows_and_features_are_shown_with_limits_and_distances(log: MemoryLog) -> None:
    shown = RUN.invoke(app, ["-c", str(DEMO), "drift", "big_tipper"], env=WIDE)
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
    asked = ["-c", str(DEMO), "drift", "big_tipper", "--feature", feature]
    shown = RUN.invoke(app, asked, env=WIDE)
    assert shown.exit_code == 0, shown.stderr
    for word in (*words, "this window", "PSI"):
        assert word in shown.stdout
    rows = json.loads(RUN.invoke(app, [*asked, "--json", "--last", "3"]).stdout)
    assert [row["feature"] for row in rows] == [feature] * 3
    assert sum(rows[-1]["histogram"]["now"]) == pytest.approx(1.0, abs=1e-3)


def test_the_data_are_records(log: MemoryLog) -> None:
    shown = RUN.invoke(app, ["-c", str(DEMO), "drift", "big_tipper", "--json", "--last", "2"])
    rows = json.loads(shown.stdout)
    assert [row["kind"] for row in rows] == ["drift-verdict"] * 2
    assert rows[0]["features"][0]["distances"].keys() == DISTANCES.keys()


def test_an_unknown_feature_is_exit_3_and_names_the_known(log: MemoryLog) -> None:
    shown = RUN.invoke(app, ["-c", str(DEMO), "drift", "big_tipper", "--feature", "fares"])
    assert shown.exit_code == 3
    assert "lognormal" in shown.stderr


@pytest.mark.parametrize("name", ["drift.png", "drift.svg"])
@pytest.mark.parametrize("feature", [[], ["--feature", "payment"]])
def test_the_picture_is_drawn(
    log: MemoryLog, tmp_path: Path, name: str, feature: list[str]
) -> None:
    file = tmp_path / name
    asked = ["-c", str(DEMO), "drift", "big_tipper", "--plot", str(file), *feature]
    shown = RUN.invoke(app, asked)
    assert shown.exit_code == 0, shown.stderr
    content = file.read_bytes()
    assert content[:4] == b"\x89PNG" if name.endswith("png") else b"reference" in content


def test_a_picture_needs_a_suffix_it_knows(log: MemoryLog) -> None:
    shown = RUN.invoke(app, ["-c", str(DEMO), "drift", "big_tipper", "--plot", "x.jpg"])
    assert shown.exit_code == 2
    assert ".png or .svg" in shown.stderr


def test_the_features_that_moved_most_are_drawn(verdicts: list[DriftVerdict]) -> None:
    assert {"lognormal", "payment"} <= set(moved_most(verdicts)[:3])
    assert len(moved_most(verdicts)) == MAX


def test_each_cell_has_a_name_of_its_own(verdicts: list[DriftVerdict]) -> None:
    for one in verdicts[-1].features:
        assert one.histogram is not None
        names = cell_names(one.histogram)
        assert len(set(names)) == len(names) == len(one.histogram.now)
