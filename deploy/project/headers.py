"""Names of columns that can be names of fields: unique, without spaces and accents. Pure."""

from __future__ import annotations

import keyword
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

RESERVED = frozenset({"after_shift", "version", "prediction", *keyword.kwlist})
"""Names with another meaning in examples, in the messages of served predictions, or in Python: a
feature is a parameter of the model's signatures, so TensorFlow refuses `class`."""
SUFFIX = "_value"
"""Is added to a name with another meaning."""
LONGEST = 64
"""Characters of a name; longer ones do not fit tables and labels of metrics."""
_UMLAUTS = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ß": "ss"}
)


@dataclass(frozen=True, slots=True)
class Header:
    """The name of one column."""

    original: str
    """As the file writes it."""
    name: str
    """As events, contract and code write it."""
    reason: str = ""
    """Why the name differs; empty when it does not."""


def clean_headers(originals: Sequence[str]) -> tuple[Header, ...]:
    """A usable name for each column; a name that is usable stays as it is.

    >>> [header.name for header in clean_headers(["Größe (cm)", "MonthlyFee", "", "id", "id"])]
    ['groesse_cm', 'MonthlyFee', 'column_3', 'id', 'id_2']
    """
    headers: list[Header] = []
    taken = {original for original in originals if _fits(original)}
    used: set[str] = set()
    for number, original in enumerate(originals, 1):
        name, reason = _cleaned(original, number)
        if name in used or (reason and name in taken):
            name, reason = _unique(name, used | taken), "another column has the same name"
        used.add(name)
        headers.append(Header(original, name, reason))
    return tuple(headers)


def looks_like_values(cells: Sequence[str]) -> bool:
    """Whether the first line of a file holds values instead of names.

    >>> looks_like_values(["34", "1.5", "yes"]), looks_like_values(["age", "fee", "2024"])
    (True, False)
    """
    numbers = sum(bool(re.fullmatch(r"[+-]?\d+([.,]\d+)?", cell.strip())) for cell in cells)
    return 2 * numbers >= len(cells) > 0


def is_usable(name: str) -> bool:
    """Whether a name can be that of a field, a tensor and a column of examples.

    TensorFlow refuses a leading underscore.

    >>> is_usable("MonthlyFee"), is_usable("monthly fee"), is_usable("_fee"), is_usable("class")
    (True, False, False, False)
    """
    return bool(re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name)) and name not in RESERVED


def _fits(original: str) -> bool:
    return is_usable(original) and len(original) <= LONGEST


def _cleaned(original: str, number: int) -> tuple[str, str]:
    if _fits(original):
        return original, ""
    if is_usable(original):
        return original[:LONGEST], f"more than {LONGEST} characters"
    if original in RESERVED:
        return f"{original}{SUFFIX}", "the name has another meaning"
    plain = unicodedata.normalize("NFKD", original.strip().translate(_UMLAUTS))
    ascii_text = plain.encode("ascii", "ignore").decode().lower()
    name = re.sub(r"[^a-z0-9]+", "_", ascii_text).strip("_")
    if not name:
        return f"column_{number}", "it has no name" if not original.strip() else "not a field name"
    if name[0].isdigit():
        name = f"x_{name}"
    name = f"{name}{SUFFIX}" if name in RESERVED else name
    return name[:LONGEST].rstrip("_"), "not a field name"


def _unique(name: str, taken: set[str]) -> str:
    number = 2
    while f"{name}_{number}" in taken:
        number += 1
    return f"{name}_{number}"
