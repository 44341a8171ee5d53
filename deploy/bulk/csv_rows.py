"""Rows of a CSV file with a header. Columns that are no features are kept and not read."""

from __future__ import annotations

import csv
import hashlib
import math
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from deploy.app.suggestion import did_you_mean
from deploy.bulk.rows import Chunk, Column
from streaming.contracts.errors import ConfigurationError, NotFoundError, PermanentError
from streaming.contracts.model import FeatureSpec

_LARGEST = 3.4028234663852886e38
"""Largest float32."""


class CsvRows:
    """The rows of a file, in chunks.

    Raises
    ------
    NotFoundError
        When there is no such file.
    ConfigurationError
        When its header is empty, names a column twice, or has none of the model's features.
    """

    def __init__(self, file: Path, features: Sequence[FeatureSpec], rows: int) -> None:
        if not file.is_file():
            raise NotFoundError(f"{file} is not a file.")
        self._file, self._rows = file, rows
        with file.open(newline="", encoding="utf-8-sig") as lines:
            self._header = _header(lines, file)
        self._features = [spec for spec in features if spec.name in self._header]
        if not self._features:
            names = [spec.name for spec in features]
            hints = {hint for name in self._header if (hint := did_you_mean(name, names))}
            raise ConfigurationError(
                f"{file} has none of the model's features in its header; they are"
                f" {', '.join(names)}.{''.join(sorted(hints))}"
            )

    def identity(self) -> str:
        """A digest of the file's content."""
        with self._file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    def __call__(self, first: int) -> Iterator[Chunk]:
        """The chunks from number `first` on."""
        with self._file.open(newline="", encoding="utf-8-sig") as lines:
            rows = self._lines(lines)
            next(rows)
            for _ in islice(rows, first * self._rows):
                pass
            while chunk := list(islice(rows, self._rows)):
                yield self._chunk(chunk)

    def _lines(self, lines: Any) -> Iterator[list[str]]:
        reader = csv.reader(lines)
        try:
            yield from (row for row in reader if row)  # an empty line is an empty row
        except (csv.Error, UnicodeDecodeError) as error:
            raise PermanentError(
                f"{self._file} cannot be read behind line {reader.line_num}: {error}. Correct the"
                " file, then begin again with --fresh."
            ) from error

    def _chunk(self, rows: list[list[str]]) -> Chunk:
        width = len(self._header)
        problems = {
            number: f"{len(row)} values for {width} columns"
            for number, row in enumerate(rows)
            if len(row) != width
        }
        shown: dict[str, Column] = {
            name: [row[at] if at < len(row) else "" for row in rows]
            for at, name in enumerate(self._header)
        }
        values: dict[str, Column] = {}
        for spec in self._features:
            values[spec.name] = _values(shown[spec.name], spec, problems)
        return Chunk(shown=shown, values=values, problems=problems, rows=len(rows))


def _header(lines: Any, file: Path) -> list[str]:
    try:
        header = next(csv.reader(lines), [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigurationError(f"{file} is not a CSV file in UTF-8: {error}.") from error
    twice = sorted({name for name in header if header.count(name) > 1})
    if not header or twice:
        what = f"names {', '.join(twice)} twice" if twice else "has no header line"
        raise ConfigurationError(f"{file} {what}; each column needs a name of its own.")
    return header


def _values(texts: Sequence[str], spec: FeatureSpec, problems: dict[int, str]) -> Column:
    """The column's values; adds rows with a text that is no value of its kind to `problems`."""
    if spec.kind == "text":
        return [text or None for text in texts]
    known: dict[str, Any] = {"": None}  # columns repeat themselves
    values = []
    for row, text in enumerate(texts):
        if text not in known:
            known[text] = _number(text, integer=spec.kind == "integer")
        value = known[text]
        if value is _WRONG:
            article = "an" if spec.kind == "integer" else "a"
            problems.setdefault(row, f"{spec.name}: {text[:50]!r} is not {article} {spec.kind}")
            value = None
        values.append(value)
    return values


_WRONG = object()


def _number(text: str, *, integer: bool) -> Any:
    """A number; None for NaN, `_WRONG` for what is none.

    >>> _number("2.0", integer=True), _number("nan", integer=False)
    (2, None)
    >>> _number("x", integer=True) is _WRONG
    True
    """
    try:
        value = int(text) if integer else float(text)
    except ValueError:
        try:
            value = float(text)
        except ValueError:
            return _WRONG
    if isinstance(value, float) and math.isnan(value):
        return None
    if integer:
        fits = math.isfinite(value) and value == int(value) and -(2**63) < value < 2**63
        return int(value) if fits else _WRONG
    return value if abs(value) <= _LARGEST else _WRONG
