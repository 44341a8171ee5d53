"""Files as people have them: encodings, separators, headers, broken rows, and size."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deploy.project.csv_file import open_csv
from deploy.project.csv_guess import guess_csv
from deploy.project.sampling import SAMPLE_ROWS, sample_of
from deploy.project.shown import decided
from streaming.contracts.errors import ConfigurationError, NotFoundError
from tests.deploy.project.files import choice, decimal, whole, written

COLUMNS = [
    ("Größe (cm)", decimal(140, 200, 1)),
    ("Vertrag", choice("Monat", "Jahr")),
    ("gekündigt", choice("ja", "nein")),
]


def cells(path: Path) -> dict[str, list[str]]:
    return sample_of(open_csv(path).blocks()).columns()


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "latin-1", "cp1252", "utf-16", "utf-16-le", "utf-32"]
)
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_encoding_and_separator_are_recognised(
    tmp_path: Path, encoding: str, separator: str
) -> None:
    path = written(tmp_path / "a.csv", COLUMNS, 200, separator=separator, encoding=encoding)
    guess = guess_csv(path).guess
    assert guess.label.name == "gekuendigt"
    assert [feature.name for feature in guess.features] == ["groesse_cm", "Vertrag"]
    assert (
        cells(path)["Vertrag"][:5]
        == cells(written(tmp_path / "b.csv", COLUMNS, 200))["Vertrag"][:5]
    )


def test_a_byte_that_is_not_utf_8_far_behind_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"name,n\n" + b"Meier,1\n" * 300_000 + "Müller,2\n".encode("latin-1"))
    assert open_csv(path).dialect.encoding == "cp1252"
    assert sum(block.num_rows for block in open_csv(path).blocks()) == 300_001


def test_decimals_with_a_comma_do_not_hide_the_semicolon(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a;b;c\n" + "1,5;2,25;yes\n3,5;4,75;no\n1,5;4,75;no\n3,5;2,25;no\n" * 100)
    guess = guess_csv(path, label="c").guess
    assert [feature.number_form for feature in guess.features] == ["comma", "comma"]


def test_quoted_newlines_and_separators_stay_in_their_cell(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('note,churned\n"one\ntwo, three",yes\n"say ""no""",no\n')
    assert cells(path) == {"note": ["one\ntwo, three", 'say "no"'], "churned": ["yes", "no"]}


def test_a_header_with_a_newline_is_one_name(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('"monthly\nfee",churned\n1.5,yes\n')
    assert cells(path) == {"monthly_fee": ["1.5"], "churned": ["yes"]}


def test_rows_with_another_number_of_fields_are_left_out_and_told(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        "age,churned\n" + "30,yes\n40,no\n40,yes\n30,no\n" * 50 + "50,yes,surplus\n60\n"
    )
    data = guess_csv(path)
    assert data.guess.rows == 200
    assert any("2 row(s) have another number of fields" in note for note in data.notes)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x00", "is no CSV file"),
        (b"\x07\x00\x93\x05\x00\x11" * 900, "holds no text"),
        (b"a,b,label\n" + b"1,2,0\n" * 500 + b"1,\0,1\n", r"zero byte in line 502.*tr -d"),
        (b"a^b^label\n" + b"1^2^0\n" * 9, r"has a \^ between its fields.*`tr '\^'"),
        (b"a  b label\n" + b"1 2   0\n" * 9, "white space between its fields.*`tr -s ' '"),
        (b'[{"a": 1, "b": 2},\n{"a": 2, "b": 3}]\n', 'is JSON.*read_json."a.csv".[.]to_csv'),
        (b'{"a": 1, "b": 2}\n' * 9, "is JSON.*lines=True"),
        (b"'a','b','label'\n" + b"'1','2','0'\n" * 9, "single quotes.*`tr"),
        (b"<!DOCTYPE html>\n<p>a, b</p>\n" * 9, "is HTML or XML.*fetch the file itself"),
        (b"name\nMeier\nSchulze\n", "has a single column"),
        (b"1,2,yes\n3,4,no\n", "holds values .* not names"),
        (b"May\n\nage;churned\n1;yes\n2;no\n", r"but with 'May'.*`tail -n \+3 a.csv"),
        (b'age,size,churned\n1,"3,yes\n' + b"2,4,no\n" * 1_300_000, "quotation mark .* no end"),
    ],
)
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=reason):
        guess_csv(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="cannot be read"):
        guess_csv(tmp_path / "none.csv")
    with pytest.raises(NotFoundError, match="cannot be read"):
        guess_csv(tmp_path)


def test_a_header_alone_has_too_few_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("age,churned\n")
    with pytest.raises(ConfigurationError, match="The data have 0 rows"):
        guess_csv(path)


def test_a_wide_file_of_few_rows_is_guessed(tmp_path: Path) -> None:
    columns = [(f"x{number}", decimal(0, 1)) for number in range(58)]
    path = written(
        tmp_path / "a.csv",
        [*columns, ("plan", choice("a", "b")), ("churned", choice("0", "1"))],
        200,
    )
    data = guess_csv(path)
    assert len(data.guess.features) == 59
    assert not any("are many" in sentence for sentence in decided(data))


def test_many_features_say_what_they_cost(tmp_path: Path) -> None:
    columns = [(f"x{number}", decimal(0, 1)) for number in range(120)]
    path = written(tmp_path / "a.csv", [*columns, ("churned", choice("0", "1"))], 200)
    assert any(line.startswith("120 features are many") for line in decided(guess_csv(path)))


def test_a_million_rows_are_sampled_evenly(tmp_path: Path) -> None:
    """Rows that alternate, and the last ones, are seen too, and the sample has a bound."""
    path = tmp_path / "a.csv"
    with path.open("w") as file:
        file.write("n,plan,churned\n")
        file.writelines(
            f"{row % 977},{'new' if row > 900_000 else 'old'},{row % 2}\n"
            for row in range(1_000_000)
        )
    sample = sample_of(open_csv(path).blocks())
    assert sample.rows == 1_000_000
    plans = sample.columns()["plan"]
    assert 0.95 * SAMPLE_ROWS <= len(plans) <= 2 * SAMPLE_ROWS
    assert abs(plans.count("new") / len(plans) - 0.1) < 0.01
    assert guess_csv(path, label="churned").guess.rows == 1_000_000


def test_the_same_file_gives_the_same_guess(tmp_path: Path) -> None:
    columns = [("n", whole(0, 99)), ("churned", choice("0", "1"))]
    path = written(tmp_path / "a.csv", columns, 45_000)
    assert guess_csv(path) == guess_csv(path)


def test_empty_lines_before_the_names_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("\n \nsep=,\nage,churned\n30,yes\n\n40,no\n")
    assert cells(path) == {"age": ["30", "40"], "churned": ["yes", "no"]}


def test_many_new_names_are_one_sentence(tmp_path: Path) -> None:
    columns = [(f"x {number}", decimal(0, 1)) for number in range(30)]
    path = written(tmp_path / "a.csv", [*columns, ("churned", choice("0", "1"))], 200)
    (note,) = guess_csv(path).notes
    assert note.startswith("Columns that get another name (not a field name): 'x 0' is x_0; ")
    assert note.endswith("'x 7' is x_7; and 22 more.")


def test_dates_that_ascend_are_the_time_of_the_event(tmp_path: Path) -> None:
    """Without a name that says so; dates in no order are not."""

    def date(days: int) -> str:
        return (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=days)).strftime("%d.%m.%Y")

    path = written(
        tmp_path / "a.csv",
        [
            ("Eingang", lambda chance, number: date(number)),
            ("Kauf", lambda chance, number: date(chance.randint(0, 400))),
            ("n", whole(0, 99)),
            ("churned", choice("0", "1")),
        ],
        200,
    )
    guess = guess_csv(path).guess
    assert (guess.time, guess.time_form) == ("Eingang", "day.month.year")
    assert [column.name for column in guess.unused] == ["Kauf"]


ROWS_OF_FOUR = [[f"C{i:04d}", ["basic", "pro", "max"][i % 3], str(i * 7 % 90), ["no", "yes"][i % 2]]
                for i in range(200)]  # fmt: skip
NAMES = ["customer_id", "plan", "visits", "churned"]


def lines(rows: list[list[str]], names: list[str] | None = NAMES) -> str:
    return "".join(",".join(row) + "\n" for row in ([names] if names else []) + rows)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            lines(ROWS_OF_FOUR, None),
            "holds values .* not names. Add a header line of 4 names: `sed",
        ),
        (lines([row[1:] for row in ROWS_OF_FOUR], None).replace("0,", "x,"), "not names"),
        (
            lines(ROWS_OF_FOUR, NAMES[1:]),
            "3 names in its first line, but 200 of 200 rows have 4 fi",
        ),
        ("# export, v2\n" + lines(ROWS_OF_FOUR), "If lines stand above the names, remove them"),
        (lines([[row[0], '"a ""b\\"c, d"', *row[2:]] for row in ROWS_OF_FOUR]), "write a mark"),
        ("sep=;\n", "has no header line"),
        ('"customer,plan\n' + "a,b\n" * 40_000, "quotation mark that begins a field has no end"),
    ],
)
def test_a_first_line_that_does_not_fit_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=reason):
        guess_csv(path)


def test_names_that_occur_again_are_no_values(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(lines(ROWS_OF_FOUR) + lines(ROWS_OF_FOUR))
    with pytest.raises(ConfigurationError, match=r"occurs 1 more time\(s\).*`awk"):
        guess_csv(path)


def test_a_mark_without_an_end_after_some_rows_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(lines(ROWS_OF_FOUR).replace("C0005", '"C0005'))
    with pytest.raises(
        ConfigurationError, match=r"5 rows; .*another number of fields.*mark inside"
    ):
        guess_csv(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (gzip.compress(lines(ROWS_OF_FOUR).encode()), "compressed by gzip: `gunzip -k a.csv`"),
        (lzma.compress(lines(ROWS_OF_FOUR).encode()), "compressed by xz: `unxz -k a.csv`"),
        (bz2.compress(lines(ROWS_OF_FOUR).encode()), "compressed by bzip2: `bunzip2 -k a.csv`"),
        (b"PK\x03\x04" + bytes(600), "save it as CSV"),
        (b"PAR1\x15\x04\x15" + bytes(600), "Parquet's format: save it as CSV"),
        (b"ORC\x08\x03\x10" + bytes(600), "ORC's format: save it as CSV"),
        (b"SQLite format 3\0" + bytes(600), "`sqlite3 -header -csv a.csv"),
    ],
)
def test_a_packed_file_says_how_it_is_unpacked(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=reason):
        open_csv(path)


def test_a_pipe_is_refused_because_data_are_read_several_times(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigurationError, match="no regular file"):
        open_csv(tmp_path / "pipe")


def test_text_that_looks_like_utf_8_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    rows = [[row[0], "München" if row[1] == "max" else row[1], *row[2:]] for row in ROWS_OF_FOUR]
    path.write_bytes(lines(rows).encode() + b"C9,M\xfcn,3,yes\n")
    assert any("would be 'München' in UTF-8" in note for note in guess_csv(path).notes)


@pytest.mark.parametrize(
    ("copy", "label", "reason"),
    [
        (
            lambda row: {"yes": "gone", "no": "here"}[row[3]],
            "churned",
            "repeats the label: each of",
        ),
        (lambda row: row[2] if row[3] == "yes" or row[1] == "pro" else "", "churned", ""),
        (lambda row: row[2] if row[3] == "yes" else "", "churned", "exactly where churned is 1"),
        (lambda row: f"{2.5 * int(row[2]) + 3:.2f}", "visits", "repeats the label: visits times"),
    ],
)
def test_a_column_that_repeats_the_label_is_left_out(
    tmp_path: Path, copy: Callable[[list[str]], str], label: str, reason: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(lines([[copy(row), *row] for row in ROWS_OF_FOUR], ["other", *NAMES]))
    guess = guess_csv(path, label=label).guess
    reasons = {column.name: column.reason for column in guess.unused}
    if reason:
        assert reason in reasons["other"]
    assert "plan" in [feature.name for feature in guess.features]


def test_classes_that_the_sample_lacks_are_known(tmp_path: Path) -> None:
    rows = [[str(i * 7 % 90), "ab"[i % 2]] for i in range(60_000)]
    for at in range(1_000, 1_006):
        rows[at][1] = "rare"
    path = tmp_path / "a.csv"
    path.write_text(lines(rows, ["visits", "class"]))
    assert open_csv(path).dialect.separator == ","
    label = guess_csv(path).guess.label
    assert label.classes[-1] == "rare"
    assert label.task == "multiclass"
    path.write_text(lines(rows[1_003:], ["visits", "class"]))
    with pytest.raises(ConfigurationError, match="class is 'rare' in 3 row"):
        guess_csv(path)


def test_a_negative_number_beyond_the_sample_ends_a_count(tmp_path: Path) -> None:
    rows = [[str(i * 7 % 90), str(i % 50)] for i in range(60_000)]
    path = tmp_path / "a.csv"
    rows[2][1] = "-3"
    path.write_text(lines(rows, ["visits", "sales"]))
    guess = guess_csv(path).guess
    assert guess.sampled < guess.rows
    assert not guess.label.counts


def test_events_that_would_be_too_large_are_refused(tmp_path: Path) -> None:
    names = [f"text_{number}" for number in range(300)]
    rows = [["ab"[at // 2 % 2] * 240] * 300 + [("no", "yes")[at % 2]] for at in range(110)]
    path = tmp_path / "a.csv"
    path.write_text(lines(rows, [*names, "churned"]))
    with pytest.raises(ConfigurationError, match=r"features would have some \d+ KiB; at most 64"):
        guess_csv(path)


def test_words_of_python_are_no_names_of_features(tmp_path: Path) -> None:
    rows = [[str(i * 7 % 90), "xy"[i // 3 % 2], "abc"[i % 3]] for i in range(300)]
    path = tmp_path / "a.csv"
    path.write_text(lines(rows, ["import", "_plan", "class"]))
    guess = guess_csv(path).guess
    assert [feature.name for feature in guess.features] == ["import_value", "plan"]
    assert (guess.label.name, guess.label.task) == ("class_value", "multiclass")


def test_a_text_that_begins_like_a_binary_format_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(lines(ROWS_OF_FOUR, ["ORCHID", *NAMES[1:]]))
    assert guess_csv(path).guess.key == "ORCHID"


def test_a_name_of_a_page_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        lines([[*row, "7"] for row in ROWS_OF_FOUR], [*NAMES[:2], "n" * 300, "n" * 299, "churned"])
    )
    data = guess_csv(path, label="n" * 299)
    assert [header.name for header in data.headers[2:4]] == ["n" * 64, "n" * 64 + "_2"]
    assert all(len(note) < 400 for note in data.notes)
    assert "more than 64 characters" in data.notes[0]


@pytest.mark.parametrize("label", ["churned", "plan", "visits"])
def test_rows_that_are_sorted_by_the_label_are_told(tmp_path: Path, label: str) -> None:
    path = tmp_path / "a.csv"
    at = NAMES.index(label)
    path.write_text(lines(sorted(ROWS_OF_FOUR, key=lambda row: (len(row[at]), row[at]))))
    assert any(f"sorted by {label}" in note for note in guess_csv(path, label=label).notes)
    path.write_text(lines(ROWS_OF_FOUR))
    assert not any("sorted by" in note for note in guess_csv(path, label=label).notes)
