"""Messages of foreign errors as they may be kept: short, on one line, and without values of rows.

Libraries print the rows that they could not use, so their messages would carry customers' data into
failure records, logs and screens. What a message says about columns, types and places stays; values
between brackets and braces, byte strings and long texts go. Pure.
"""

from __future__ import annotations

import errno
import re

from retrain.ports import TrainingFailed
from streaming.contracts.errors import ConfigurationError

LONGEST = 600
"""Characters of a message that are kept."""

LONGEST_VALUE = 60
"""Characters of a quoted text; longer ones are values, shorter ones may be names of columns."""

DISK_ADVICE = (
    "Free space in the worker's state folder or the model store (`driftline prune --dry-run` shows "
    "what can go); the trigger then tries again after its back-off."
)
"""What a person should do about a full disk; the worker adds how much can be freed."""

_FULL = ("No space left on device", "Disk quota exceeded", "database or disk is full")
"""What libraries say that lose the number of the system's error; the last is SQLite's."""

_BYTES = re.compile(r"""\bb(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""")
_INNERMOST = re.compile(
    r"\[[^\[\]]*\]|\{[^{}]*\}|<[^<>]*(?:values?|array|tensor)[^<>]*>", re.IGNORECASE
)
_LONG_TEXT = re.compile(rf"""'[^']{{{LONGEST_VALUE},}}'|"[^"]{{{LONGEST_VALUE},}}\"""")
_VALUE = re.compile(
    r"\b(value|values|got|was)(\s*[:=]?\s+|\s*[:=]\s*)(-?\d[\w.+-]*|'[^']*'|\"[^\"]*\")",
    re.IGNORECASE,
)
_NOT_PRINTED = re.compile(r"[^\x20-\x7e\u00a0-\u024f\u2010-\u2026]+")
_MASK = "…"
_OURS = ("streaming", "retrain", "serving", "deploy")


def safe_message(error: BaseException) -> str:
    """What may be kept of an error's message.

    Our own errors are written without values of rows, and are only cut, unless a foreign error
    caused them, whose message they often repeat.

    >>> safe_message(ValueError("bad row {'fare': [12.5], 'company': [b'Blue Cab']} in fare"))
    'bad row {…} in fare'
    """
    text = str(error)
    foreign = any(type(part).__module__.split(".")[0] not in _OURS for part in causes(error))
    return masked(text) if foreign else _cut(" ".join(text.split()))


def masked(text: str) -> str:
    """The text without what may be a value of a row.

    >>> masked("KeyError: 'pickup_census_tract'")
    "KeyError: 'pickup_census_tract'"
    >>> masked("array([[1.0, 2.0]], dtype=float32) is no tip; value: 12.75")
    'array([…], dtype=float32) is no tip; value: …'
    """
    text = _NOT_PRINTED.sub(" ", text)
    text = _BYTES.sub(_MASK, text)
    before = ""
    while before != text:
        before = text
        text = _INNERMOST.sub(_bracketed, text)
    text = text.replace("\x00", "[…]").replace("\x01", "{…}").replace("\x02", "<…>")
    text = _LONG_TEXT.sub(f"'{_MASK}'", text)
    text = _VALUE.sub(lambda match: f"{match[1]}{match[2]}{_MASK}", text)
    return _cut(" ".join(text.split()))


def causes(error: BaseException) -> list[BaseException]:
    """The error and the errors that caused it, the latest first."""
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in chain:
        chain.append(current)
        current = current.__cause__ or current.__context__
    return chain


def clear_failure(error: BaseException, component: str) -> TrainingFailed | None:
    """The failure that ends a request at its first attempt, because a second would fail alike.

    A full disk is one: nothing frees it between two attempts. The trigger tries again after its
    back-off. User code and settings that cannot be used are another.
    """
    if isinstance(error, TrainingFailed) and error.advice == DISK_ADVICE:
        return error
    for part in causes(error):  # whatever a component made of it
        full = isinstance(part, OSError) and part.errno in (errno.ENOSPC, errno.EDQUOT)
        if full or any(words in str(part) for words in _FULL):
            found_in = error.component if isinstance(error, TrainingFailed) else component
            return TrainingFailed(
                f"No space is left on the worker's disk, found in {found_in}.",
                component=found_in,
                advice=DISK_ADVICE,
            )
    if isinstance(error, TrainingFailed):
        return error
    if isinstance(error, ConfigurationError):
        return TrainingFailed(
            safe_message(error),
            component=component,
            advice="Correct the model's code; `driftline model check MODEL` tries it on a sample.",
        )
    return None


def _bracketed(match: re.Match[str]) -> str:
    """A stand-in without brackets, so that the brackets around it can be masked next."""
    return {"[": "\x00", "{": "\x01", "<": "\x02"}[match[0][0]]


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}{_MASK}"
