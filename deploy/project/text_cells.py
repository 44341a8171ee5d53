"""What a text cell of a file may be: missing, or true or false. Pure."""

from __future__ import annotations

from collections.abc import Iterable

MISSING_WORDS = frozenset(
    (
        *("", "-", "--", "?", ".", "na", "n/a", "n.a.", "k.a.", "nan", "nat", "<na>", "null"),
        *("(null)", "none", "nil", "\\n", "missing", "#n/a", "#nv", "#div/0!", "#value!", "#wert!"),
        *("#ref!", "#bezug!", "#name?", "#num!", "#zahl!", "#null!"),
    )
)
"""Spellings of a missing value, in lower case; those with `#` are errors of spreadsheets."""

TRUTH: tuple[tuple[str, str], ...] = (
    ("true", "false"),
    ("t", "f"),
    ("yes", "no"),
    ("y", "n"),
    ("ja", "nein"),
    ("j", "n"),
    ("oui", "non"),
    ("si", "no"),
    ("sí", "no"),
    ("on", "off"),
    ("wahr", "falsch"),
)
"""Pairs of spellings, in lower case: true, then false."""

UNKNOWN_WORDS = frozenset(
    (
        *("unknown", "not known", "unclear", "undecided", "pending", "tbd", "unbekannt", "unklar"),
        *("offen", "inconnu", "desconocido", "sconosciuto"),
    )
)
"""Spellings, in lower case, of an outcome that nobody knows, beside yes and no."""

_SIDES: tuple[frozenset[str], frozenset[str]] = (
    frozenset(("1", "1.0", *(true for true, _ in TRUTH))),
    frozenset(("0", "0.0", *(false for _, false in TRUTH))),
)
MIXED = ("yes, true or 1", "no, false or 0")
"""Stands for a pair where a column mixes spellings."""


def is_missing(cell: str | None) -> bool:
    """Whether a cell holds no value.

    >>> [is_missing(cell) for cell in (None, " N/A ", "NaN", "0", "no")]
    [True, True, True, False, False]
    """
    return cell is None or cell.strip().lower() in MISSING_WORDS


def outcomes_of(values: Iterable[str]) -> frozenset[str]:
    """The values of a label that say what happened.

    >>> sorted(outcomes_of(["yes", "Unknown", "no"]))
    ['no', 'yes']
    """
    return frozenset(value for value in values if value.strip().lower() not in UNKNOWN_WORDS)


def truth_pair(values: frozenset[str]) -> tuple[str, str] | None:
    """The pair of spellings to which all values belong, in any case; None when there is none.

    Values of several pairs are `MIXED`, unless all of them are numbers. Both true and false must
    occur.

    >>> truth_pair(frozenset({"Yes", "no", "YES"})), truth_pair(frozenset({"yes", "maybe"}))
    (('yes', 'no'), None)
    >>> truth_pair(frozenset({"TRUE", "no", "0"})) == MIXED, truth_pair(frozenset({"0", "1"}))
    (True, None)
    """
    spellings = {value.strip().lower() for value in values}
    pair = next((pair for pair in TRUTH if spellings == set(pair)), None)
    if pair is not None or all(spelling[:1].isdigit() for spelling in spellings):
        return pair
    true, false = _SIDES
    mixed = spellings <= true | false and spellings & true and spellings & false
    return MIXED if mixed else None


def to_truth(cell: str, pair: tuple[str, str]) -> int | None:
    """1 or 0; None when the cell is neither spelling.

    >>> to_truth("JA", ("ja", "nein")), to_truth("nein", ("ja", "nein")), to_truth("?", ("j", "n"))
    (1, 0, None)
    >>> to_truth("True", MIXED), to_truth("0", MIXED)
    (1, 0)
    """
    spelling = cell.strip().lower()
    if pair == MIXED:
        return 1 if spelling in _SIDES[0] else 0 if spelling in _SIDES[1] else None
    return {pair[0]: 1, pair[1]: 0}.get(spelling)
