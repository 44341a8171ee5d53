"""Verdicts on sequences of windows, as the stream job judges them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace

from streaming.contracts.codec import decode, encode
from streaming.contracts.records import (
    Categories,
    DriftVerdict,
    FeatureVerdict,
    SchemaAnomaly,
    WindowSummary,
)
from streaming.drift import (
    DriftHistory,
    DriftRules,
    PreparedReference,
    judge_drift,
    prepare_reference,
)
from tests.streaming.statistics_data import SECONDS, TRIPS, Change, reference, trips, window

RULES = DriftRules()
REFERENCE = reference(trips(np.random.default_rng(100), 20_000))
PREPARED = prepare_reference(REFERENCE, TRIPS)


def run(
    windows: Sequence[WindowSummary],
    rules: DriftRules = RULES,
    history: DriftHistory | None = None,
    prepared: PreparedReference | None = PREPARED,
    reference_id: str = "promotion-1",
) -> tuple[list[DriftVerdict], DriftHistory]:
    history = history or DriftHistory()
    verdicts = []
    for summary in windows:
        verdict, history = judge_drift(summary, prepared, reference_id, history, rules, TRIPS)
        verdicts.append(verdict)
    return verdicts, history


def shifted(
    count: int,
    change: Mapping[str, Change] | None = None,
    *,
    missing: Mapping[str, float] | None = None,
    rows: int = 2_000,
    seed: int = 7,
    first: int = 0,
) -> list[WindowSummary]:
    rng = np.random.default_rng(seed)
    return [
        window(first + at, trips(rng, rows, change=change, missing=missing)) for at in range(count)
    ]


def outcomes(verdicts: Sequence[DriftVerdict]) -> list[str]:
    return [verdict.outcome for verdict in verdicts]


def of(verdict: DriftVerdict, feature: str) -> FeatureVerdict:
    return next(found for found in verdict.features if found.feature == feature)


CHANGES: dict[str, tuple[str, Change, str]] = {
    "half a sd and more": ("normal", lambda x, _: x + 0.65, "location"),
    "a whole sd, log scale": ("lognormal", lambda x, _: x * np.e, "location"),
    "far from zero": ("far", lambda x, _: x + 1.0, "location"),
    "wider": ("normal", lambda x, _: x * 1.6, "dispersion"),
    "narrower": ("normal", lambda x, _: x * 0.4, "dispersion"),
    "two humps": ("normal", lambda x, r: r.choice([-0.95, 0.95], len(x)) + 0.3 * x, "shape"),
    "more zeros": ("zeros", lambda x, r: np.where(r.random(len(x)) < 0.55, 0.0, x), "zero"),
    "a code for missing": ("uniform", lambda x, r: np.where(r.random(len(x)) < 0.03, -1.0, x), ""),
    "not a number": ("pareto", lambda x, r: np.where(r.random(len(x)) < 0.03, np.nan, x), ""),
    "a new category": ("payment", lambda x, r: np.where(r.random(len(x)) < 0.02, "App", x), ""),
    "other shares": (
        "payment",
        lambda x, r: np.where((x == "Cash") & (r.random(len(x)) < 0.6), "Card", x),
        "",
    ),
    "reversed zones": (
        "zone",
        lambda x, r: np.where(r.random(len(x)) < 0.5, 76 - x, x),
        "category",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_lasting_change_is_suspected_at_once_and_drifted_within_five_windows(name: str) -> None:
    feature, change, test = CHANGES[name]
    verdicts, _ = run(shifted(3, first=0) + shifted(5, {feature: change}, first=3))
    observed = outcomes(verdicts)
    assert observed[:3] == ["stable"] * 3
    assert "drifted" in observed[3:8]
    assert observed.index("drifted") >= 5  # three windows at least
    last = of(verdicts[-1], feature)
    assert last.outcome == "drifted"
    assert last.effect >= RULES.drifted_sd
    assert last.hits == last.of == 5
    assert f"Its {test}" in last.reason
    other_features = {found.outcome for found in verdicts[-1].features if found.feature != feature}
    assert other_features == {"stable"}


def test_the_first_window_of_a_clear_change_is_suspected() -> None:
    verdicts, _ = run(shifted(4, {"normal": lambda x, _: x + 1.0}))
    assert outcomes(verdicts) == ["suspected", "suspected", "drifted", "drifted"]
    assert verdicts[0].reason.startswith("Suspected: normal (location differs by +")
    assert "beyond it in 1 of 5 windows" in verdicts[0].reason
    effects = [of(verdict, "normal").effect for verdict in verdicts]
    assert np.mean(effects) == pytest.approx(1.0, abs=0.04)
    assert verdicts[2].reason.startswith("Drifted: normal (location differs by +")


@pytest.mark.parametrize(
    ("before", "now", "outcome"), [("1 %", 0.04, "drifted"), ("70 %", 0.9, "drifted")]
)
def test_a_rising_missing_rate_is_drift(before: str, now: float, outcome: str) -> None:
    feature = "lognormal" if before == "1 %" else "mostly_missing"
    verdicts, _ = run(shifted(5, missing={feature: now}, rows=4_000))
    assert verdicts[-1].outcome == outcome
    assert "missing differs" in of(verdicts[-1], feature).reason


def test_a_middling_change_stays_suspected() -> None:
    verdicts, _ = run(shifted(6, {"normal": lambda x, _: x + 0.38}))
    assert set(outcomes(verdicts)) == {"suspected"}
    assert of(verdicts[-1], "normal").hits == 5


def test_an_effect_under_the_floor_is_never_reported_however_significant() -> None:
    verdicts, _ = run(shifted(5, {"normal": lambda x, _: x + 0.12}, rows=20_000))
    assert set(outcomes(verdicts)) == {"stable"}
    assert of(verdicts[-1], "normal").effect == pytest.approx(0.12, abs=0.03)


def test_quiet_traffic_raises_no_alarm() -> None:
    verdicts, _ = run(shifted(300, rows=600, seed=11))
    assert set(outcomes(verdicts)) == {"stable"}


@pytest.mark.parametrize("rows", [150, 400, 10_000])
def test_quiet_traffic_raises_no_alarm_at_any_window_size(rows: int) -> None:
    verdicts, _ = run(shifted(40, rows=rows, seed=12))
    assert set(outcomes(verdicts)) == {"stable"}


@pytest.mark.parametrize("bad", [1e300, -1e300, np.inf, -np.inf, np.nan])
def test_one_bad_row_changes_no_verdict(bad: float) -> None:
    def spoil(x: np.ndarray, _: np.random.Generator) -> np.ndarray:  # type: ignore[type-arg]
        x[0] = bad
        return x

    clean, _ = run(shifted(6))
    spoilt, _ = run(shifted(6, {"pareto": spoil, "far": spoil}))
    assert outcomes(spoilt) == outcomes(clean) == ["stable"] * 6
    for clean_verdict, spoilt_verdict in zip(clean, spoilt, strict=True):
        effect = of(clean_verdict, "pareto").effect
        assert effect == pytest.approx(of(spoilt_verdict, "pareto").effect, abs=0.02)


def test_drift_ends_when_the_change_ends() -> None:
    change: Mapping[str, Change] = {"normal": lambda x, _: x + 1.0}
    verdicts, _ = run(shifted(3, change) + shifted(5, first=3))
    assert outcomes(verdicts)[2:] == ["drifted", "drifted", "drifted", "stable", "stable", "stable"]
    assert "but not now" in verdicts[4].reason


def test_the_same_arguments_give_the_same_bytes() -> None:
    windows = shifted(4, {"normal": lambda x, _: x + 1.0})
    first, _ = run(windows)
    second, _ = run(windows, prepared=prepare_reference(REFERENCE, TRIPS))
    assert [encode(verdict) for verdict in first] == [encode(verdict) for verdict in second]
    assert decode(encode(first[-1])) == first[-1]
    assert len({verdict.record_id for verdict in first}) == 4
    assert first[0].at == first[0].window_end


def test_a_replayed_window_repeats_its_verdict_and_adds_no_hit() -> None:
    windows = shifted(4, {"normal": lambda x, _: x + 1.0})
    verdicts, history = run(windows[:2])
    repeated, after = run(windows[1:2], history=history)
    assert repeated[0] == verdicts[1]
    assert after == history


def test_a_reference_may_come_unprepared() -> None:
    summary = shifted(1)[0]
    prepared, _ = run([summary])
    raw, _ = judge_drift(summary, REFERENCE, "promotion-1", DriftHistory(), RULES, TRIPS)
    assert raw == prepared[0]


def test_a_new_reference_starts_the_history_afresh() -> None:
    change: Mapping[str, Change] = {"normal": lambda x, _: x + 1.0}
    windows = shifted(6, change)
    _, history = run(windows[:3])
    promoted = prepare_reference(
        reference(trips(np.random.default_rng(5), 20_000, change=change)), TRIPS
    )
    after, _ = run(windows[3:], history=history, prepared=promoted, reference_id="promotion-2")
    assert outcomes(after) == ["stable"] * 3
    assert {feature.hits for verdict in after for feature in verdict.features} == {0}


def test_history_survives_a_codec() -> None:
    _, history = run(shifted(3, {"normal": lambda x, _: x + 1.0}))
    data = msgspec.json.encode(history)
    assert msgspec.json.decode(data, type=DriftHistory) == history
    assert [judged.level for judged in history.features["normal"]] == [2, 2, 2]


def test_hits_before_a_long_gap_do_not_count() -> None:
    change: Mapping[str, Change] = {"normal": lambda x, _: x + 1.0}
    verdicts, _ = run(shifted(2, change) + shifted(1, change, first=1_000))
    assert outcomes(verdicts) == ["suspected"] * 3


def test_without_a_reference_nothing_is_judged() -> None:
    verdicts, history = run(shifted(1), prepared=None, reference_id="")
    assert verdicts[0].outcome == "inconclusive"
    assert "no reference yet" in verdicts[0].reason
    assert verdicts[0].caused_by == ("w0",)
    assert history == DriftHistory()


def test_a_reference_that_cannot_be_read_is_not_called_absent() -> None:
    verdicts, _ = run(shifted(1), prepared=None, reference_id="promotion-1")
    assert verdicts[0].outcome == "inconclusive"
    assert "cannot be read" in verdicts[0].reason


@pytest.mark.parametrize("rows", [0, 1, 60])
def test_too_few_rows_are_inconclusive_not_stable(rows: int) -> None:
    verdicts, history = run(shifted(1, rows=rows))
    assert verdicts[0].outcome == "inconclusive"
    assert "rows" in verdicts[0].reason
    assert not history.features


@pytest.mark.parametrize(
    ("dead", "late", "lost"),
    [
        (2_500, 0, "2,500 of 4,500 records that arrived were lost (2,500 could not be read, 0"),
        (0, 2_500, "2,500 of 4,500 records that arrived were lost (0 could not be read, 2,500"),
        (120, 110, "230 of 2,230 records that arrived were lost (120 could not be read, 110 were"),
        (0, 60_000, "60,000 of 62,000"),
    ],
)
def test_a_window_that_lost_many_of_its_rows_is_inconclusive_and_not_remembered(
    dead: int, late: int, lost: str
) -> None:
    change: Mapping[str, Change] = {"normal": lambda x, _: x + 1.0}
    broken = [replace(summary, dead_letters=dead, late=late) for summary in shifted(3, change)]
    verdicts, history = run(broken)
    assert set(outcomes(verdicts)) == {"inconclusive"}
    assert lost in verdicts[0].reason
    assert not history.features


def test_a_window_that_lost_few_of_its_rows_is_judged() -> None:
    change: Mapping[str, Change] = {"normal": lambda x, _: x + 1.0}
    few = [replace(summary, dead_letters=110, late=110) for summary in shifted(3, change)]
    assert run(few)[0][-1].outcome == "drifted"


def test_a_feature_lost_against_the_schema_is_broken_not_drifted() -> None:
    anomaly = SchemaAnomaly(feature="lognormal", code="FEATURE_TYPE_NOT_PRESENT", detail="gone")
    lost = shifted(4, missing={"lognormal": 1.0})
    verdicts, _ = run([replace(summary, anomalies=(anomaly,)) for summary in lost])
    assert set(outcomes(verdicts)) == {"inconclusive"}
    assert "lognormal went missing against the schema" in verdicts[0].reason
    assert of(verdicts[0], "lognormal").outcome == "inconclusive"
    assert verdicts[0].anomalies == (anomaly,)
    without_schema, _ = run(lost)
    assert without_schema[-1].outcome == "drifted"


def test_an_anomaly_alone_does_not_stop_the_judgement() -> None:
    anomaly = SchemaAnomaly(feature="payment", code="ENUM_TYPE_UNEXPECTED_STRING_VALUES", detail="")
    change: Mapping[str, Change] = {
        "payment": lambda x, r: np.where(r.random(len(x)) < 0.1, "App", x)
    }
    verdicts, _ = run([replace(summary, anomalies=(anomaly,)) for summary in shifted(4, change)])
    assert verdicts[-1].outcome == "drifted"


def test_a_feature_that_was_counted_as_another_kind_is_not_judged() -> None:
    summary = shifted(1)[0]
    counted = Categories(values=("100",), counts=(summary.accepted,))
    features = [
        replace(f, grid=None, categories=counted) if f.name == "far" else f
        for f in summary.features
    ]
    verdicts, history = run([replace(summary, features=tuple(features))])
    assert "another kind" in of(verdicts[0], "far").reason
    assert verdicts[0].outcome == "stable"
    assert "1 could not be judged" in verdicts[0].reason
    assert "far" not in history.features


def test_features_that_the_contract_excludes_are_not_judged() -> None:
    specs = [replace(spec, judged=spec.name != "normal") for spec in TRIPS.features]
    contract = replace(TRIPS, features=tuple(specs))
    history = DriftHistory()
    prepared = prepare_reference(REFERENCE, contract)
    for summary in shifted(4, {"normal": lambda x, _: x + 2.0}):
        verdict, history = judge_drift(summary, prepared, "p", history, RULES, contract)
        assert verdict.outcome == "stable"
        assert "normal" not in [feature.feature for feature in verdict.features]


def test_windows_carry_their_counts_and_offsets() -> None:
    summary = replace(shifted(1)[0], dead_letters=3, late=2, offsets_read=2_005)
    verdict = run([summary])[0][0]
    assert (verdict.rows, verdict.accepted, verdict.dead_letters) == (2_000, 2_000, 3)
    assert (verdict.late, verdict.offsets_read) == (2, 2_005)
    assert verdict.window_end - verdict.window_start == SECONDS
    assert verdict.caused_by == ("w0", "promotion-1")
    assert verdict.reference_version == 1
