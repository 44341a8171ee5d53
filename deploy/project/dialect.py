"""How a file is written: its encoding and its separator. Pure."""

from __future__ import annotations

import codecs
import csv
import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

SEPARATORS = (",", ";", "\t", "|")
_NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_MARKS: tuple[tuple[bytes, str], ...] = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins with the mark of UTF-16
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a file is written."""

    encoding: str
    """Name of Python's codec."""
    separator: str
    """Character between two fields."""

    def describe(self) -> str:
        """In words.

        >>> Dialect("cp1252", ";").describe()
        'cp1252, separated by semicolon'
        """
        return f"{self.encoding}, separated by {_NAMES[self.separator]}"


def marked_encoding(head: bytes) -> str | None:
    """The encoding that a byte order mark at the beginning names; None without a mark.

    >>> marked_encoding("größe".encode("utf-8-sig")), marked_encoding(b"plain")
    ('utf-8-sig', None)
    """
    return next((name for mark, name in _MARKS if head.startswith(mark)), None)


def unmarked_wide_encoding(head: bytes) -> str | None:
    """UTF-16 without a mark: its characters, mostly of Latin scripts, have every other byte 0.

    >>> unmarked_wide_encoding("a,b".encode("utf-16-le")), unmarked_wide_encoding(b"a,b\\0\\0\\0")
    ('utf-16-le', None)
    """
    even, odd = head[0::2].count(0), head[1::2].count(0)
    if 2 * odd > len(head[1::2]) and not even:
        return "utf-16-le"
    return "utf-16-be" if 2 * even > len(head[0::2]) and not odd else None


def guess_separator(sample: str) -> str:
    """The separator that gives the records of `sample` one number of fields, the largest one.

    A comma inside of a decimal number is no separator: it splits rows into different numbers of
    fields, or every row into more fields than the header.

    >>> guess_separator("a;b\\n1,5;2\\n1;2,5\\n"), guess_separator("a\\tb\\n1\\t2\\n")
    (';', '\\t')
    """
    return max(SEPARATORS, key=lambda separator: _regularity(sample, separator))


def records_of(text: str, separator: str) -> Iterator[list[str]]:
    """The records of a text; empty lines are left out.

    Raises
    ------
    csv.Error
        When a quotation mark that begins a field has no end.

    >>> list(records_of('\\n"a\\nb",c\\n', ","))
    [['a\\nb', 'c']]
    """
    return (row for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator) if row)


def ignored_lines(sample: str) -> int:
    """Lines at the beginning that say nothing: empty ones, and the separator as Excel writes it.

    >>> ignored_lines("\\nsep=;\\na;b\\n"), ignored_lines("a;b\\n\\n")
    (2, 0)
    """
    lines = sample.splitlines()
    count = 0
    while count < len(lines) and (not lines[count].strip() or lines[count].startswith("sep=")):
        count += 1
    return count


def lines_above_header(sample: str) -> int:
    """Lines of one field before the records that have several, such as a title; 0 without any.

    >>> lines_above_header("Export of May\\n\\na;b\\n1;2\\n3;4\\n"), lines_above_header("a\\n1\\n")
    (2, 0)
    """
    for separator in SEPARATORS:
        try:
            widths = [len(record) for record in records_of(sample, separator)]
        except csv.Error:
            continue
        ((width, count),) = Counter(widths).most_common(1) or [(0, 0)]
        if width > 1 and 2 * count > len(widths):
            lines = sample.splitlines()
            return next(n for n, line in enumerate(lines) if line.count(separator) >= width - 1)
    return 0


def _regularity(sample: str, separator: str) -> tuple[float, int]:
    """Share of the records with as many fields as the header, and that number."""
    try:
        records = list(records_of(sample, separator))
    except csv.Error:
        return 0.0, 0
    if not records or len(records[0]) < 2:
        return 0.0, 0
    # the last record may be cut off
    counts = Counter(len(row) for row in (records[:-1] if len(records) > 2 else records))
    width = len(records[0])
    return counts[width] / counts.total(), width
