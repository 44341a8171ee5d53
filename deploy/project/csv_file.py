"""Reads a CSV file as text cells, block by block, however large it is.

Every cell stays text: what a column holds is decided by `column_rules`, once all of it is known.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
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
    single_byte_encoding,
)
from deploy.project.headers import Header, clean_headers, looks_like_values
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

    @property
    def names(self) -> list[str]:
        """The usable name of each column."""
        return [header.name for header in self.headers]

    def blocks(self) -> Iterator[pa.RecordBatch]:
        """The rows as text columns, in the file's order.

        Raises
        ------
        ConfigurationError
            When the file is no CSV file.
        """
        self.ragged, self.ragged_example = 0, ""
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
                    column_types={name: pa.string() for name in names}, strings_can_be_null=False
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
    try:
        with path.open("rb") as stream:
            head = stream.read(HEAD_BYTES)
    except OSError as error:
        raise NotFoundError(f"{path} cannot be read: {error.strerror}. Name a CSV file.") from error
    if not head.strip():
        raise ConfigurationError(f"{path} is empty; name a CSV file with a header line and rows.")
    encoding = marked_encoding(head) or _encoding_of(path)
    text = codecs.getincrementaldecoder(encoding)(errors="replace").decode(head)
    if "\0" in text:
        raise ConfigurationError(f"{path} holds no text; name a CSV file, uncompressed.")
    above = ignored_lines(text)
    text = "".join(text.splitlines(keepends=True)[above:])
    separator = guess_separator(text)
    first = next(records_of(text, separator))
    if len(first) < 2:
        raise _single_column(path, first[0], lines_above_header(text))
    if looks_like_values(first):
        raise ConfigurationError(
            f"The first line of {path} holds values ({', '.join(first[:4])}, …), not names. Add a "
            "header line."
        )
    return CsvFile(path, Dialect(encoding, separator), clean_headers(first), above)


def _advice(error: Exception) -> str:
    """What to look for; Arrow tells of a field that never ends as of a block's boundary."""
    if "straddling" in str(error):
        return (
            " A field is longer than 4 MB: a quotation mark that begins a field has no end. Quote "
            'the whole field, and write a mark inside of it twice: "12 "" screen".'
        )
    return ""


def _single_column(path: Path, first: str, above: int) -> ConfigurationError:
    if above:
        return ConfigurationError(
            f"{path} does not begin with the names of its columns, but with {first[:60]!r}. Take "
            f"away what stands above them: `tail -n +{above + 1} {path.name} > table.csv`."
        )
    return ConfigurationError(
        f"{path} has a single column. A model needs at least a feature and a label; fields are "
        "separated by a comma, a semicolon, a tab or a bar."
    )


def _encoding_of(path: Path) -> str:
    """UTF-8 if the whole file is; else an encoding with one byte for each character."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHECK_BYTES):
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError:
                return single_byte_encoding(chunk)
        try:
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return single_byte_encoding(b"")
    return "utf-8"
