"""A file's rows as events and labels: values, keys, rounds, shifts, and where to go on."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest

from deploy.project import model_trial
from deploy.project.csv_file import open_csv
from deploy.project.replay_rows import ReplayRows, Row
from deploy.project.replay_state import (
    ReplayState,
    read_state,
    replay_name,
    state_file,
    write_state,
)
from deploy.project.shift import parse_shifts
from streaming.contracts.errors import ConfigurationError
from streaming.contracts.model import FeatureSpec, ModelContract
from streaming.contracts.task import Task

FEATURES = (
    FeatureSpec(name="groesse_cm", kind="number"),
    FeatureSpec(name="Besuche", kind="integer"),
    FeatureSpec(name="aktiv", kind="integer", categorical=True),
    FeatureSpec(name="Tarif", kind="text", categorical=True),
)
LABEL = FeatureSpec(name="gekuendigt", kind="integer", categorical=True)
CONTRACT = ModelContract(
    model="kunden", module="", events_topic="a", labels_topic="b", key="Kunde", time="event_time",
    features=FEATURES,
)  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "kunden.csv"
    rows = ["Kunde;Größe (cm);Besuche;aktiv;Tarif;gekündigt"]
    rows += [
        f"k{i};{170 + i % 9},5;{i % 4};{'ja' if i % 2 else 'nein'};{'A' if i % 3 else 'B'};"
        f"{'nein' if i % 5 else 'ja'}"
        for i in range(100)
    ]
    rows[3] = "k2;;viele;;;"
    path.write_text("\n".join(rows), encoding="latin-1")
    return path


def rows_of(file: Path, shifts: tuple[str, ...] = (), **options: int) -> ReplayRows:
    parsed = parse_shifts(shifts, FEATURES)
    return ReplayRows(open_csv(file), CONTRACT, [LABEL], run="r1", shifts=parsed, **options)


def first(count: int, rows: ReplayRows, start: int = 0) -> list[Row]:
    return list(islice(rows.read(start), count))


def test_values_are_read_in_the_forms_of_their_columns(file: Path) -> None:
    row = first(2, rows_of(file))[1]
    assert row.values == {"groesse_cm": 171.5, "Besuche": 1, "aktiv": 1, "Tarif": "A"}
    assert row.label == {"gekuendigt": 0}


def test_what_a_cell_does_not_hold_is_missing(file: Path) -> None:
    row = first(3, rows_of(file))[2]
    assert row.values == {"groesse_cm": None, "Besuche": None, "aktiv": None, "Tarif": None}
    assert row.label == {}


def test_keys_are_unique_over_rounds_and_the_same_each_time(file: Path) -> None:
    keys = [row.key for row in first(250, rows_of(file))]
    assert len(set(keys)) == 250
    assert keys == [row.key for row in first(250, rows_of(file))]
    other = ReplayRows(open_csv(file), CONTRACT, [LABEL], run="r2")
    assert not set(keys) & {row.key for row in first(250, other)}


def test_a_replay_goes_on_in_the_middle_of_a_round(file: Path) -> None:
    rows = rows_of(file)
    assert first(60, rows, start=170) == first(230, rows)[170:]


def test_a_shift_begins_where_it_is_told(file: Path) -> None:
    shifts = ("groesse_cm=*2", "Besuche=+10", "Tarif=C")
    rows = first(60, rows_of(file, shifts, shift_after=50))
    assert rows[1].values["Tarif"] == "A"
    assert rows[51].values == {"groesse_cm": 353.0, "Besuche": 13, "aktiv": 1, "Tarif": "C"}
    assert first(4, rows_of(file, ("aktiv=missing",)))[3].values["aktiv"] is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("fee", "is no shift; write COLUMN=\\*1.5"),
        ("fee=1", "has no feature 'fee'; it has groesse_cm"),
        ("Besuche=many", "Besuche holds integers; 'many' is none"),
        ("Besuche=*", "Besuche holds integers"),
        ("groesse_cm=*inf", "groesse_cm holds numbers"),
    ],
)
def test_a_shift_that_cannot_be_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        parse_shifts([text], FEATURES)


def test_a_file_of_another_model_is_refused(tmp_path: Path, file: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text("age,churned\n" + "30,yes\n40,no\n" * 60)
    with pytest.raises(ConfigurationError, match=r"lacks gekuendigt, groesse_cm, .*age, churned"):
        rows_of(other)
    without = tmp_path / "without.csv"
    text = file.read_text(encoding="latin-1").replace("Besuche", "Visiten", 1)
    without.write_text(text, encoding="latin-1")
    assert rows_of(without).absent == ("Besuche",)


def test_the_name_of_a_replay_follows_from_what_is_played(tmp_path: Path, file: Path) -> None:
    name = replay_name(file, "kunden", ())
    assert name == replay_name(file, "kunden", ())
    others = [
        replay_name(file, "other", ()),
        replay_name(file, "kunden", ("Tarif=C",)),
        replay_name(file, "kunden", (), again=1),
    ]
    file.write_text("a,b\n1,2\n")
    assert len({name, replay_name(file, "kunden", ()), *others}) == 5


def test_the_position_is_kept_and_a_broken_one_begins_anew(tmp_path: Path) -> None:
    assert read_state(tmp_path, "r1") == ReplayState(run="r1")
    write_state(tmp_path, ReplayState(run="r1", events=7, labels=5))
    assert read_state(tmp_path, "r1").events == 7
    state_file(tmp_path, "r1").write_text("{broken")
    assert read_state(tmp_path, "r1") == ReplayState(run="r1")


def test_a_sample_is_taken_from_the_whole_file(tmp_path: Path) -> None:
    """A file that is sorted by its label gives rows of both classes."""
    path = tmp_path / "sorted.csv"
    path.write_text("Besuche;gekündigt\n" + "1;ja\n" * 20_000 + "2;nein\n" * 20_000)
    rows = rows_of(path)
    sample = list(rows.sample(500))
    assert 500 <= len(sample) <= 1_000
    share = sum(row.label["gekuendigt"] == 1 for row in sample) / len(sample)
    assert 0.4 < share < 0.6
    assert list(rows.sample(40_000)) == first(40_000, rows)


@pytest.mark.parametrize("rare", [40, 1_000])
def test_a_check_takes_more_rows_where_a_class_is_rare(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rare: int
) -> None:
    monkeypatch.setattr(model_trial, "FILE_ROWS", 200)
    monkeypatch.setattr(model_trial, "RARE_FILE_ROWS", 1_500)
    path = tmp_path / "a.csv"
    cells = (f"{i % 9};{'ja' if i % (3_000 // rare) == 0 else 'nein'}\n" for i in range(3_000))
    path.write_text("Besuche;gekündigt\n" + "".join(cells))
    rows = model_trial.sampled(rows_of(path), Task(kind="binary"))
    positives = sum(label["gekuendigt"] == 1 for _, label in rows)
    assert positives >= 20
    assert (len(rows) >= 1_500) is (rare == 40)


def test_an_outcome_that_nobody_knows_is_an_event_without_a_label(tmp_path: Path) -> None:
    """As `init` says: neither a class of its own, nor a row that cannot be read."""
    path = tmp_path / "kunden.csv"
    path.write_text("Besuche,gekuendigt\n" + "1,ja\n2,nein\n3,unbekannt\n" * 40)
    rows = ReplayRows(open_csv(path), CONTRACT, [LABEL], run="r").sample(200)
    assert [row.label.get("gekuendigt") for row in islice(rows, 3)] == [1, 0, None]
