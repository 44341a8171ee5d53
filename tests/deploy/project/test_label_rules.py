"""Which column is the label and what task it makes; what cannot be one says why."""

from __future__ import annotations

import random

import pytest

from deploy.project.column_rules import guess_column
from deploy.project.guess import ProjectGuess, guess_project
from deploy.project.label_tasks import TaskKind, label_notes
from deploy.project.profile import profile_column
from deploy.project.values import label_converter
from streaming.contracts.errors import ConfigurationError

ROWS = 500
CHANCE = random.Random(8)
AGE = [str(CHANCE.randint(18, 90)) for _ in range(ROWS)]
FEE = [f"{CHANCE.uniform(5, 90):.2f}" for _ in range(ROWS)]
PLAN = [CHANCE.choice(["basic", "plus", "pro"]) for _ in range(ROWS)]
IDS = [f"K{i}" for i in range(ROWS)]


def values(*choices: str) -> list[str]:
    return [CHANCE.choice(choices) for _ in range(ROWS)]


def guess(
    columns: dict[str, list[str]], label: str | None = None, task: TaskKind | None = None
) -> ProjectGuess:
    profiles = [profile_column(name, name, cells) for name, cells in columns.items()]
    return guess_project(profiles, len(next(iter(columns.values()))), label=label, task=task)


@pytest.mark.parametrize(
    ("columns", "label", "task"),
    [
        ({"age": AGE, "churned": values("yes", "no")}, "churned", "binary"),
        ({"Exited": values("0", "1"), "age": AGE, "plan": PLAN}, "Exited", "binary"),
        ({"age": AGE, "is_fraud": values("true", "false"), "fee": FEE}, "is_fraud", "binary"),
        ({"age": AGE, "risk": values("good", "bad")}, "risk", "binary"),
        ({"target": FEE, "age": AGE}, "target", "regression"),
        ({"hour": values("0", "1", "2"), "demand": AGE}, "demand", "regression"),
        ({"age": AGE, "queue": values("billing", "tech", "sales", "other")}, "queue", "multiclass"),
        ({"age": AGE, "class": values("1", "2", "3")}, "class", "multiclass"),
        ({"label": values("a", "b"), "age": AGE, "churn": values("0", "1")}, "label", "binary"),
        ({"load": FEE, "age": AGE, "fault": values("y", "n")}, "fault", "binary"),
        ({"amount": FEE, "age": AGE, "ended": values("y", "n")}, "ended", "binary"),
        ({"price": FEE, "age": AGE, "rooms": values("1", "2", "3")}, "price", "regression"),
        ({"age": AGE, "side": values("B", "S"), "pnl": FEE}, "pnl", "regression"),
    ],
)
def test_the_label_is_guessed(columns: dict[str, list[str]], label: str, task: str) -> None:
    decided = guess(columns)
    assert (decided.label.name, decided.label.task) == (label, task)
    assert label not in [feature.name for feature in decided.features]


def test_an_outcome_that_nobody_knows_is_no_class() -> None:
    """Its rows have no label, as those with an empty cell."""
    for yes, no, word in (("Ja", "nein", "unbekannt"), ("1", "0", "Unknown")):
        cells = [yes] * 240 + [no] * 160 + [word] * 100
        label = guess({"age": AGE, "returned": cells}).label
        assert (label.task, label.classes, label.rarest) == ("binary", (), 0.4)
        assert label.balance.endswith("; 100 rows with a word for unknown have no label")
        to_value = label_converter(label)
        assert [to_value(cell) for cell in (yes, no, word)] == [1, 0, None]
    plain = guess({"age": AGE, "returned": ["late"] * 200 + ["early"] * 200 + ["unknown"] * 100})
    assert plain.label.task == "multiclass"


def test_the_predicted_class_is_the_one_that_matters() -> None:
    assert guess({"age": AGE, "risk": values("good", "bad")}).label.classes == ("bad", "good")
    rare = [*(["won"] * 30), *(["lost"] * 470)]
    assert guess({"age": AGE, "outcome": rare}).label.classes[0] == "won"
    unknown = [*(["alpha"] * 470), *(["beta"] * 30)]
    assert guess({"age": AGE, "outcome": unknown}).label.classes == ("beta", "alpha")


def test_spellings_of_true_and_false_become_1_and_0() -> None:
    assert guess({"age": AGE, "churned": values("Ja", "nein")}).label.truth == ("ja", "nein")


def test_whole_numbers_without_negative_ones_are_a_count() -> None:
    assert guess({"plan": PLAN, "demand": AGE}).label.counts
    negative = [f"-{age}" for age in AGE]
    assert not guess({"plan": PLAN, "demand": negative}).label.counts
    assert not guess({"plan": PLAN, "demand": FEE}).label.counts
    assert not guess({"plan": PLAN, "demand": [f"{age}00000" for age in AGE]}).label.counts
    assert not guess({"plan": PLAN, "price": [f"${age}" for age in AGE]}).label.counts


def test_the_user_decides_label_and_task() -> None:
    columns = {"age": AGE, "stars": values("1", "2", "3", "4", "5"), "churned": values("0", "1")}
    assert guess(columns, "stars").label.task == "regression"
    assert guess(columns, "stars", "multiclass").label.classes == tuple(
        sorted("12345", key=lambda star: -columns["stars"].count(star))
    )


@pytest.mark.parametrize(
    ("columns", "label", "task", "reason"),
    [
        ({"age": AGE, "fee": FEE}, None, None, "No column looks like a label"),
        ({"age": AGE, "fee": FEE}, "churn", None, "There is no column 'churn'; the columns are"),
        ({"age": AGE, "churned": ["no"] * ROWS}, "churned", None, "nothing can be learnt"),
        (
            {"age": AGE, "churned": ["no"] * (ROWS - 2) + ["yes"] * 2},
            None,
            None,
            "churned is 'yes' in 2 row\\(s\\) only",
        ),
        ({"age": AGE, "city": IDS}, "city", None, "at most 50 classes"),
        ({"age": AGE, "plan": PLAN}, "plan", "regression", "a regression needs numbers"),
        ({"age": AGE, "plan": PLAN}, "plan", "binary", "has 3 values; a binary task needs two"),
        (
            {"age": AGE, "churned": values("yes", "no", "", "", "")},
            "churned",
            None,
            "of the rows have no value of churned",
        ),
        (
            {"age": AGE[:60], "churned": values("yes", "no")[:60]},
            "churned",
            None,
            "The data have 60 rows; at least 100 are needed",
        ),
        (
            {"customer": IDS, "churned": values("yes", "no")},
            None,
            None,
            "No column can be a feature",
        ),
    ],
)
def test_what_cannot_work_is_refused_with_the_reason(
    columns: dict[str, list[str]], label: str | None, task: TaskKind | None, reason: str
) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        guess(columns, label, task)


def test_key_and_time_are_guessed_from_the_columns() -> None:
    times = [f"2026-01-01 {i // 60:02d}:{i % 60:02d}" for i in range(ROWS)]
    decided = guess({"id": IDS, "at": times, "age": AGE, "churned": values("0", "1")})
    assert (decided.key, decided.time, decided.time_form) == ("id", "at", "year-month-day")
    assert [feature.name for feature in decided.features] == ["age"]


def test_without_an_id_and_a_time_events_carry_their_own() -> None:
    decided = guess({"event_id": PLAN, "age": AGE, "churned": values("0", "1")})
    assert (decided.key, decided.time, decided.time_form) == ("event_id_2", "event_time", None)


def test_a_date_of_birth_is_not_the_time_of_the_event() -> None:
    born = [f"{1950 + i % 50}-04-{1 + i % 28:02d}" for i in range(ROWS)]
    decided = guess({"birth_date": born, "age": AGE, "churned": values("0", "1")})
    assert decided.time_form is None
    assert "not the time of the event" in decided.unused[0].reason


def test_a_guess_depends_on_the_values_alone() -> None:
    profile = profile_column("age", "age", AGE)
    assert guess_column(profile) == guess_column(profile_column("age", "age", list(AGE)))


def test_columns_that_can_be_the_label_are_named_when_none_looks_like_one() -> None:
    columns = {"id": IDS, "age": AGE, "plan": PLAN, "city": values("a", "b", "c")}
    with pytest.raises(
        ConfigurationError, match="--label COLUMN, for example one of 'city', 'plan', 'age'\\."
    ):
        guess(columns)


def test_a_column_called_like_the_label_in_training_is_no_feature() -> None:
    decided = guess({"churned_label": AGE, "age": AGE, "churned": values("yes", "no")}, "churned")
    assert [feature.name for feature in decided.features] == ["age"]
    assert "training" in decided.unused[0].reason


def test_spellings_of_true_and_false_make_a_binary_label() -> None:
    for cells, yes in ((("1.0", "0.0"), 1.0), (("yes", "TRUE", "1", "no"), 0.75)):
        decided = guess({"age": AGE, "churned": values(*cells)}).label
        assert (decided.task, decided.classes) == ("binary", ())
        share = float(decided.balance.split(": ")[1].split("%")[0]) / 100
        assert share == pytest.approx(0.5 if yes == 1.0 else yes, abs=0.08)


def test_a_column_called_like_a_label_may_miss_half_of_its_values() -> None:
    assert guess({"churned": values("yes", "no", ""), "age": AGE}).label.name == "churned"
    with pytest.raises(ConfigurationError, match=r"churned \(yes or no.* 7\d% missing\) cannot"):
        guess({"churned": values("yes", "no", *[""] * 6), "age": AGE})
    with pytest.raises(ConfigurationError, match="No column looks like a label"):
        guess({"age": AGE, "plan": values("yes", "no", "")})


def test_numbered_classes_of_a_label_are_classes() -> None:
    assert guess({"age": AGE, "target": values("0", "1", "2")}).label.task == "multiclass"
    assert guess({"age": AGE, "sales": values("0", "1", "2")}).label.task == "regression"
    assert guess({"age": AGE, "target": values("0", "2", "7")}).label.task == "regression"


def test_the_key_is_the_id_that_is_called_so() -> None:
    rows = [str(number) for number in range(ROWS)]
    decided = guess({"column_1": rows, "customer_id": IDS, "age": AGE, "y": values("0", "1")})
    assert decided.key == "customer_id"


def test_a_time_in_the_future_is_not_that_of_the_event() -> None:
    dates = [f"2031-03-{1 + number % 28:02d}" for number in range(ROWS)]
    profiles = [
        profile_column(name, name, cells)
        for name, cells in {"ended_at": dates, "age": AGE, "y": values("0", "1")}.items()
    ]
    assert guess_project(profiles, ROWS, now=1.77e9).time_form is None
    assert guess_project(profiles, ROWS, now=2e9).time_form == "year-month-day"


def test_a_name_that_two_columns_have_is_asked_for() -> None:
    columns = [("a b", "a_b", AGE), ("a b", "a_b_2", values("0", "1"))]
    profiles = [profile_column(name, original, cells) for original, name, cells in columns]
    with pytest.raises(ConfigurationError, match="2 columns are called 'a b'; name a_b or a_b_2"):
        guess_project(profiles, ROWS, label="a b")
    assert guess_project(profiles, ROWS, label="a_b_2").label.name == "a_b_2"


def test_what_differs_in_capitals_only_is_told() -> None:
    decided = guess({"age": AGE, "risk": values("good", "bad", "Bad")}, "risk")
    assert "Bad" in label_notes(decided.label)[0]
    assert label_notes(guess({"age": AGE, "plan": PLAN}, "plan").label) == ()
