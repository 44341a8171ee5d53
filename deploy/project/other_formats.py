"""Recognises files that are no CSV file, and says how each becomes one. Pure."""

from __future__ import annotations

import re

_MARKS: dict[bytes, str] = {
    b"\x1f\x8b": "compressed by gzip: `gunzip -k {name}`, then name the result",
    b"BZh": "compressed by bzip2: `bunzip2 -k {name}`, then name the result",
    b"\xfd7zXZ": "compressed by xz: `unxz -k {name}`, then name the result",
    b"\x28\xb5\x2f\xfd": "compressed by Zstandard: `unzstd {name}`, then name the result",
    b"\x04\x22\x4d\x18": "compressed by LZ4: `lz4 -d {name}`, then name the result",
    b"PK\x03\x04": "a ZIP archive or a spreadsheet: unpack it, or save it as CSV",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive: unpack it",
    b"\xd0\xcf\x11\xe0": "a spreadsheet of old Excel: save it as CSV",
    b"PAR1": "in Parquet's format: save it as CSV",
    b"ARROW1": "in Arrow's format (Feather): save it as CSV",
    b"FEA1": "in Feather's format: save it as CSV",
    b"ORC": "in ORC's format: save it as CSV",
    b"Obj\x01": "in Avro's format: save it as CSV",
    b"SQLite format 3": "a database of SQLite: `sqlite3 -header -csv {name} "
    "'SELECT * FROM TABLE' > table.csv`",
    b"\x89HDF": "in HDF5's format: save it as CSV",
    b"%PDF": "a PDF document: save its table as CSV",
}
"""How a binary file begins → what it is, and what to do."""
_JSON = (
    'JSON: `python -c \'import pandas; pandas.read_json("{name}"{lines}).to_csv("table.csv", '
    "index=False)'` writes its objects as a table (pandas must be installed). Events of a topic "
    "are read as JSON: --from-topic"
)
_BINARY_NAMES = {b"ORC"}
"""Marks that a text may begin with; a byte that is no text must follow."""


def other_format(head: bytes, text: str, name: str) -> str | None:
    """What a file is that is no CSV file, and what to do; None when it may be one.

    Parameters
    ----------
    head:
        Its first bytes.
    text:
        The same as text.

    >>> other_format(b"PAR1...", "PAR1...", "a.parquet")
    "in Parquet's format: save it as CSV"
    >>> other_format(b"<!DOCTYPE html>", "<!DOCTYPE html>", "a.csv")
    'HTML or XML, as when a page was saved instead of the file: fetch the file itself'
    >>> other_format(b"ORCHID,n", "ORCHID,n", "a.csv") is None
    True
    """
    for mark, what in _MARKS.items():
        if head.startswith(mark) and (mark not in _BINARY_NAMES or _has_control(head)):
            return what.format(name=name)
    begin = text.lstrip()
    if re.match(r"<(!doctype|\?xml|html|\w+[ >])", begin, re.IGNORECASE):
        return "HTML or XML, as when a page was saved instead of the file: fetch the file itself"
    if re.match(r'\[\s*[{\[]|\{\s*"', begin):
        return _JSON.format(name=name, lines="" if begin[0] == "[" else ", lines=True")
    return None


def _has_control(head: bytes) -> bool:
    return any(byte < 9 for byte in head)


def odd_separator(text: str) -> tuple[str, str] | None:
    """A mark between the fields of most lines that is not read, by name and as `tr` writes it.

    >>> odd_separator("a^b\\n1^2\\n"), odd_separator("a  b\\n1 2\\n"), odd_separator("a\\n1\\n")
    (('a ^', '^'), ('white space', ' '), None)
    """
    lines = [line for line in text.splitlines()[:50] if line.strip()]
    for mark, shown in {"^": "a ^", "~": "a ~", "\x01": "the byte 1", ":": "a colon"}.items():
        widths = {line.count(mark) for line in lines}
        if len(lines) > 1 and len(widths) == 1 and widths != {0}:
            return shown, {"\x01": "\\001"}.get(mark, mark)
    widths = {len(line.split()) for line in lines}
    return ("white space", " ") if len(lines) > 1 and len(widths) == 1 and widths != {1} else None
