"""Reads a CSV file as text cells, block by block, however large it is.

Every cell stays text: what a column holds is decided by `column_rules`, once all of it is known.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.csv as pa_csv

from deploy.project.dialect import (
    Dialect,
    guess_separator,
    ignored_lines,
    lines_above_header,
    marked_encoding,
    records_of,
    unmarked_wide_encoding,
)
from deploy.project.headers import Header, clean_headers, looks_like_values
from deploy.project.other_formats import odd_separator, other_format
from streaming.contracts.errors import ConfigurationError, NotFoundError

HEAD_BYTES = 1 << 18
"""Bytes from whose records the separator is guessed."""
_BLOCK_BYTES = 1 << 22
_CHECK_BYTES = 1 << 20


@dataclass(slots=True)
class CsvFile:
    """A file, how it is written, and its columns."""

    path: Path
    dialect: Dialect
    headers: tuple[Header, ...]
    above: int = 0
    """Lines above the names of the columns: empty ones, and `sep=;` of Excel."""
    ragged: int = 0
    """Rows with another number of fields than the header, which the last reading left out."""
    ragged_example: str = field(default="")
    ragged_widths: Counter[int] = field(default_factory=Counter)
    """Number of fields → such rows."""

    @property
    def names(self) -> list[str]:
        """The usable name of each column."""
        return [header.name for header in self.headers]

    def blocks(self, columns: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        """The rows as text columns, in the file's order; those of `columns` only, where given.

        Raises
        ------
        ConfigurationError
            When the file is no CSV file.
        """
        self.ragged, self.ragged_example, self.ragged_widths = 0, "", Counter()
        names = self.names
        try:
            reader = pa_csv.open_csv(
                str(self.path),
                read_options=pa_csv.ReadOptions(
                    column_names=names,
                    skip_rows=self.above,
                    skip_rows_after_names=1,
                    encoding=self.dialect.encoding,
                    block_size=_BLOCK_BYTES,
                ),
                parse_options=pa_csv.ParseOptions(
                    delimiter=self.dialect.separator,
                    newlines_in_values=True,
                    invalid_row_handler=self._left_out,
                ),
                convert_options=pa_csv.ConvertOptions(
                    column_types={name: pa.string() for name in names},
                    strings_can_be_null=False,
                    include_columns=list(columns) or None,
                ),
            )
            yield from reader
        except (pa.ArrowInvalid, UnicodeError) as error:
            raise ConfigurationError(
                f"{self.path} cannot be read as CSV ({self.dialect.describe()}): {error}."
                f"{_advice(error)}"
            ) from error

    def _left_out(self, row: Any) -> Literal["skip"]:
        if not self.ragged:
            self.ragged_example = str(row.text)[:80]
        self.ragged += 1
        self.ragged_widths[row.actual_columns] += 1
        return "skip"


def open_csv(path: Path) -> CsvFile:
    """The file with its encoding, separator and column names.

    Raises
    ------
    NotFoundError
        When there is no such file, or it cannot be opened.
    ConfigurationError
        When it is empty, holds no text, has one column, or has no header line.
    """
    head = _head_of(path)
    if not head.strip():
        raise ConfigurationError(f"{path} is empty; name a CSV file with a header line and rows.")
    encoding = marked_encoding(head) or unmarked_wide_encoding(head) or _encoding_of(path)
    text = codecs.getincrementaldecoder(encoding)(errors="replace").decode(head)
    other = other_format(head, text, path.name)
    if other is not None:
        raise ConfigurationError(f"{path} is no CSV file. It is {other}.")
    if "\0" in text:
        raise _zero_bytes(path, text)
    above = ignored_lines(text)
    text = "".join(text.splitlines(keepends=True)[above:])
    separator = guess_separator(text)
    first = _first_record(path, text, separator)
    if len(first) < 2:
        raise _single_column(path, first[0], text)
    if all(re.fullmatch(r"'.*'", cell.strip()) for cell in first):
        raise ConfigurationError(
            f"{path} has its fields in single quotes, which would become a part of them. Write "
            f"double ones: `tr \"'\" '\"' < {path.name} > table.csv`."
        )
    if looks_like_values(first):
        raise no_header(path, first)
    return CsvFile(path, Dialect(encoding, separator), clean_headers(first), above)


def no_header(path: Path, first: Sequence[str]) -> ConfigurationError:
    """The first line is a row of data."""
    return ConfigurationError(
        f"The first line of {path} holds values ({', '.join(first[:4])}, …), not names. Add a "
        f"header line of {len(first)} names: `sed -i '1i NAME,NAME,…' {path.name}`."
    )


def _head_of(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise ConfigurationError(
                f"{path} is no regular file, and the data are read several times. Save them first: "
                f"`cat {path} > data.csv`."
            )
        with path.open("rb") as stream:
            return stream.read(HEAD_BYTES)
    except OSError as error:
        raise NotFoundError(f"{path} cannot be read: {error.strerror}. Name a CSV file.") from error


def _first_record(path: Path, text: str, separator: str) -> list[str]:
    try:
        first = next(records_of(text, separator), None)
    except csv.Error as error:
        raise ConfigurationError(
            f"{path} has no end of its first line ({error}).{_QUOTE_ADVICE}"
        ) from error
    if first is None:
        raise ConfigurationError(f"{path} has no header line; name a CSV file with one and rows.")
    return first


_QUOTE_ADVICE = (
    " A quotation mark that begins a field has no end. Quote the whole field, and write a mark "
    'inside of it twice: "12 "" screen".'
)


def _advice(error: Exception) -> str:
    """What to look for; Arrow tells of a field that never ends as of a block's boundary."""
    if "straddling" in str(error):
        return f" A field is longer than 4 MB.{_QUOTE_ADVICE}"
    return ""


def _zero_bytes(path: Path, text: str) -> ConfigurationError:
    """Few zero bytes are an accident of an export; many control characters are no text."""
    if 100 * sum(character < "\t" for character in text) > len(text):
        return ConfigurationError(f"{path} holds no text; name a CSV file.")
    line = text[: text.index("\0")].count("\n") + 1
    return ConfigurationError(
        f"{path} has a zero byte in line {line}, which no text has. Take such bytes out: "
        f"`tr -d '\\000' < {path.name} > table.csv`."
    )


def _single_column(path: Path, first: str, text: str) -> ConfigurationError:
    above = lines_above_header(text)
    if above:
        return ConfigurationError(
            f"{path} does not begin with the names of its columns, but with {first[:60]!r}. Take "
            f"away what stands above them: `tail -n +{above + 1} {path.name} > table.csv`."
        )
    odd = odd_separator(text)
    if odd is not None:
        shown, mark = odd
        squeeze = "tr -s" if mark == " " else "tr"
        return ConfigurationError(
            f"{path} has {shown} between its fields; a comma, a semicolon, a tab and a bar are "
            f"read. Put a tab instead: `{squeeze} '{mark}' '\\t' < {path.name} > table.csv`."
        )
    return ConfigurationError(
        f"{path} has a single column. A model needs at least a feature and a label; fields are "
        "separated by a comma, a semicolon, a tab or a bar."
    )


def _encoding_of(path: Path) -> str:
    """The first encoding that the whole file has; every file is Latin-1."""
    for encoding in ("utf-8", "cp1252"):
        decoder = codecs.getincrementaldecoder(encoding)()
        try:
            with path.open("rb") as stream:
                while chunk := stream.read(_CHECK_BYTES):
                    decoder.decode(chunk)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            continue
        return encoding
    return "latin-1"
