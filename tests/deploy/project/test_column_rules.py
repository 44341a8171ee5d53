"""What a column of a file becomes, by many examples."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from deploy.project.column_rules import ColumnGuess, guess_column
from deploy.project.profile import profile_column

ROWS = 400


def guess(cells: Sequence[str], name: str = "column") -> ColumnGuess:
    return guess_column(profile_column(name, name, cells))


def many(*values: str) -> list[str]:
    chance = random.Random(3)
    return [chance.choice(values) for _ in range(ROWS)]


def numbers(form: str = "{:.2f}", *, high: float = 1000.0) -> list[str]:
    chance = random.Random(4)
    return [form.format(chance.uniform(0, high)) for _ in range(ROWS)]


def with_commas(cells: list[str]) -> list[str]:
    return [cell.replace(".", ",") for cell in cells]


@pytest.mark.parametrize(
    ("cells", "kind", "categorical"),
    [
        (numbers(), "number", False),
        (with_commas(numbers()), "number", False),
        (numbers("{:,.2f}", high=9e5), "number", False),
        (numbers("{:.3e}"), "number", False),
        (numbers("${:,.2f}", high=9e5), "number", False),
        ([f"{cell} €" for cell in with_commas(numbers())], "number", False),
        (numbers("{:.1f}%", high=100), "number", False),
        ([f"({cell})" if at % 3 else cell for at, cell in enumerate(numbers())], "number", False),
        ([cell.replace(",", "'") for cell in numbers("{:,.2f}", high=9e5)], "number", False),
        ([cell.replace(",", "\u00a0") for cell in numbers("{:,.2f}", high=9e5)], "number", False),
        (numbers("{:.0f}"), "integer", False),
        (numbers("-{:.0f}"), "integer", False),
        (many("0", "1"), "integer", True),
        (many(*(str(month) for month in range(1, 13))), "integer", True),
        (many("1.0", "2.0", "3.0"), "integer", True),
        (many("yes", "no"), "integer", True),
        (many("TRUE", "false"), "integer", True),
        (many("Ja", "NEIN"), "integer", True),
        (many("Y", "n", "N/A"), "integer", True),
        (many("oui", "non", ""), "integer", True),
        (many("yes", "TRUE", "1", "0", "no"), "integer", True),
        (many("red", "green", "blue"), "text", True),
        (many("credit card", "direct debit", "bank transfer, monthly"), "text", True),
        (many("01067", "80331", "20095", "04109"), "text", True),
        (many("sí", "no", "quizás"), "text", True),
        (many("12,34,567.50", "1,23,456.00", "99,999.00"), "number", False),
        (many("1", "2", "#DIV/0!", "<NA>"), "integer", True),
        (many("08:00", "12:30", "17:45"), "text", True),
    ],
)
def test_a_feature_has_the_kind_of_its_values(
    cells: list[str], kind: str, categorical: bool
) -> None:
    decided = guess(cells)
    assert (decided.use, decided.kind, decided.categorical) == (
        "feature",
        kind,
        categorical,
    ), decided.reason


@pytest.mark.parametrize(
    ("cells", "use", "reason"),
    [
        ([""] * ROWS, "none", "empty"),
        (["", "NA", "null", "n/a"] * 100, "none", "empty"),
        (["always"] * ROWS, "none", "constant"),
        (["7", ""] * 200, "none", "constant"),
        ([*(["4"] * 8), "5", "6", *([""] * 390)], "none", "98% of the rows have no value"),
        (many("1", "2", "many", "few"), "none", "mixed types"),
        ([f"{i}" if i % 3 else f"about {i % 7}" for i in range(ROWS)], "none", "mixed types"),
        ([f"I called {i} times and nobody was there" for i in range(ROWS)], "none", "free text"),
        ([f"line one {i}\nline two, which is longer" for i in range(ROWS)], "none", "free text"),
        (["x" * 300, "y" * 300] * 200, "none", "free text"),
        ([f"C-{i:06d}" for i in range(ROWS)], "id", "identifies rows"),
        ([f"{random.Random(i).getrandbits(128):032x}" for i in range(ROWS)], "id", "identifies"),
        ([str(1000 + i) for i in range(ROWS)], "id", "identifies rows"),
        ([f"name {i % 250}" for i in range(ROWS)], "none", "repeat too rarely"),
        ([f"2026-03-{1 + i % 28:02d}" for i in range(ROWS)], "time", "year-month-day"),
        ([f"2026-03-01T10:{i % 60:02d}:00Z" for i in range(ROWS)], "time", "year-month-day"),
        ([f"{1 + i % 28:02d}.03.2026 08:15" for i in range(ROWS)], "time", "day.month.year"),
        ([f"{1 + i % 28}/12/2025" for i in range(ROWS)], "time", "day/month/year"),
        ([f"12/{1 + i % 28}/2025" for i in range(ROWS)], "time", "month/day/year"),
        ([f"{1 + i % 9}/{1 + i % 7}/2025" for i in range(ROWS)], "time", "other way round"),
        ([f"{1 + i % 28} Mar 2025" for i in range(ROWS)], "time", "month-name"),
        ([f"3/{1 + i % 28}/2025 02:{i % 60:02d} PM" for i in range(ROWS)], "time", "month/day"),
        ([f"{1 + i % 28:02d}.03.25" for i in range(ROWS)], "time", "day.month.year"),
        ([f"202503{1 + i % 28:02d}" for i in range(ROWS)], "time", "yearmonthday"),
        ([f"2025-03-01 10:{i % 60:02d}:00,123" for i in range(ROWS)], "time", "year-month-day"),
        ([f"2025-03-01 10:{i % 60:02d}:00+00" for i in range(ROWS)], "time", "year-month-day"),
        ([f"Mon, {1 + i % 28} Mar 2025 10:00:00 GMT" for i in range(ROWS)], "time", "month-name"),
        ([f"20{10 + i % 9}-03" for i in range(ROWS)], "time", "year-month"),
        ([f"{i / 7:.1f} kg" for i in range(ROWS)], "none", "the number alone"),
        ([f"{'$€'[i % 2]}{i}.50" for i in range(ROWS)], "none", "several signs ($, €)"),
        ([f"{i}e{i % 60}" for i in range(ROWS)], "none", "cannot be learnt"),
        ([f"{1 + i % 12}/{1 + i % 28}/25" for i in range(ROWS)], "time", "month/day/year"),
        (
            [f"{i % 4}:{i % 60:02d}:{i % 59:02d}" for i in range(ROWS)],
            "none",
            "times of day or dur",
        ),
        ([f"{i % 24}:{i % 60:02d}" for i in range(ROWS)], "none", "such as minutes"),
        ([str(2**63 + i * i % 97) for i in range(ROWS)], "none", "same in 32 bits"),
        ([str(10**20 + i * i % 97) for i in range(ROWS)], "none", "write names of things as text"),
        ([str(1_767_000_000 + i * i % 977) for i in range(ROWS)], "none", "same in 32 bits"),
    ],
)
def test_a_column_that_is_no_feature_says_why(cells: list[str], use: str, reason: str) -> None:
    decided = guess(cells)
    assert decided.use == use, decided.reason
    assert reason in decided.reason


def test_numbers_with_few_others_stay_numbers_and_say_so() -> None:
    cells = numbers()
    cells[10] = "unknown value"
    decided = guess(cells)
    assert decided.kind == "number"
    assert "0.2% are no numbers and count as missing" in decided.reason


def test_whole_numbers_that_ascend_identify_rows_only_when_each_differs() -> None:
    assert guess([str(i) for i in range(ROWS)]).use == "id"
    assert guess([str(i // 2) for i in range(ROWS)]).use == "feature"


def test_shuffled_ids_are_known_by_their_name() -> None:
    cells = [str(i) for i in range(ROWS)]
    random.Random(1).shuffle(cells)
    assert guess(cells, "order_id").use == "id"
    assert guess(cells, "amount").use == "feature"


def test_large_whole_numbers_are_times_only_when_they_may_be() -> None:
    times = [str(1_770_000_000 + 60 * i) for i in range(ROWS)]
    assert guess(times, "created_at").time_form == "epoch seconds"
    assert guess([f"{time}000" for time in times], "ts").time_form == "epoch milliseconds"
    random.Random(1).shuffle(times)
    assert guess(times, "amount").use == "feature"


def test_numbers_beside_one_or_two_words_are_numbers() -> None:
    cells = [*numbers("{:.1f}")[:360], *(["unknown"] * 40)]
    decided = guess(cells)
    assert (decided.use, decided.kind) == ("feature", "number")
    assert "10.0% are no numbers and count as missing" in decided.reason
    sizes = many("36", "38", "40", "42", "44", "XL")
    assert guess(sizes).use == "none"  # few numbers are codes


def test_drift_of_the_calendar_is_not_judged() -> None:
    for name, judged in (("hour", False), ("start_month", False), ("hours", True), ("fee", True)):
        decided = guess(many("1", "2", "3"), name)
        assert (decided.use, decided.judged) == ("feature", judged)
        assert ("calendar" in decided.reason) is not judged


@pytest.mark.parametrize(
    ("cells", "decimal", "highest", "certain"),
    [
        (["1,234", "999", "12,500"], ".", 12500, True),
        (["1.234", "999", "12.500"], ",", 12500, True),
        (["1,234", "1000", "12,500"], ".", 1000, True),  # 1000 has no separator
        (["1.25", "1.234", "7"], ",", 7, True),
        (["0.125", "0.250", "7"], ",", 7, True),
        (["1,234", "2,500"], ".", 2500, False),
        (["1,234", "2,500"], ",", 2.5, False),
        (["1.234", "2.500"], ".", 2.5, False),
    ],
)
def test_a_mark_separates_thousands_when_the_column_says_so(
    cells: list[str], decimal: str, highest: float, certain: bool
) -> None:
    profile = profile_column("column", "column", cells * 30, decimal=decimal)
    assert (profile.high, profile.number_certain) == (highest, certain)
    assert ("could be one of" in guess_column(profile).reason) is not certain


def test_versions_are_no_dates() -> None:
    assert guess([f"1.{i % 12}.{10 + i % 5}" for i in range(ROWS)]).use != "time"


@pytest.mark.parametrize("name", ["user_id", "accountId", "uuid"])
def test_the_size_of_a_number_that_names_a_thing_says_nothing(name: str) -> None:
    decided = guess([str(1000 + i * i % 97) for i in range(ROWS)], name)
    assert decided.use == "none"
    assert "written as text, such as n17, they are categories" in decided.reason
    assert guess(many("1", "2", "3"), name).categorical
    assert guess([str(1000 + i * i % 97) for i in range(ROWS)], "room_no").use == "feature"


def test_drift_of_a_counter_is_not_judged() -> None:
    decided = guess([f"{i // 3 + 0.5}" for i in range(ROWS)], "odometer")
    assert (decided.use, decided.judged) == ("feature", False)
    assert "ascends from the first row to the last" in decided.reason
    assert guess(["1"] * 200 + ["2"] * 200).judged  # few values, counted by value


def test_days_of_a_spreadsheet_are_a_time_when_the_name_says_so() -> None:
    days = [str(46_000 + i * i % 200) for i in range(ROWS)]
    assert guess(days, "order_date").time_form == "days of a spreadsheet"
    assert guess(days, "salary").use == "feature"
    assert guess(sorted(days), "salary").use == "feature"
