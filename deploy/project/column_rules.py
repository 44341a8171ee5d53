"""Decides what a column can be used for: a feature, a key, a time, or nothing. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from deploy.project.dates import DATE_FORMS, SPREADSHEET
from deploy.project.number_cells import LARGEST, NumberForm, number_forms, signs_of
from deploy.project.profile import NUMBER_SHARE, ColumnProfile
from deploy.project.text_cells import truth_pair
from streaming.contracts.model import FeatureKind

Use = Literal["feature", "id", "time", "none"]

CODES = 20
"""An integer column with at most this number of values is counted by value."""
ROWS_PER_CODE = 10
"""Rows for each value that such a column needs."""
UNIQUE_SHARE = 0.95
"""With a larger share of different values a column identifies rows."""
MANY_VALUES_SHARE = 0.5
"""A text with a larger share of different values repeats too rarely to learn from."""
MIXED_SHARE = 0.02
"""Below this share of numbers a column is text."""
TEXT_WORDS, TEXT_LENGTH = 4.0, 60
"""Mean number of words, and longest value, above which a text is free text."""
MAX_CATEGORY_LENGTH = 256
"""A longer text would be cut by the stream job before it is counted."""
MIN_PRESENT_SHARE = 0.05
CLOCK_VALUES = 48
"""With more different values times of day, or durations, are no categories."""

_ID_NAME = re.compile(r"(^|_)(id|uuid|guid|key|nr|no|number|nummer|index|rowid)$", re.IGNORECASE)
_CAMEL_ID = re.compile(r"[a-z](ID|Id)$")
_THING_NAME = re.compile(r"(^|_)(id|uuid|guid|rowid)$", re.IGNORECASE)
"""Other names of ids, such as `no`, may be those of amounts."""
_OTHER_TIME = re.compile(
    r"birth_?d|of_birth|dob|geburt|due|expir|deadline|since|seit|bis|until", re.IGNORECASE
)
_TIME_NAME = re.compile(
    r"(^|_)(time|date|datetime|timestamp|epoch|ts|at|datum|zeit|day|when)($|_)", re.IGNORECASE
)


_CALENDAR_NAME = re.compile(
    r"(^|_)(hour|weekday|dow|day_of_week|month|mnth|quarter|season|holiday|weekend|week|stunde|"
    r"wochentag|monat|quartal|jahreszeit|feiertag|woche)($|_of_)",
    re.IGNORECASE,
)
_SPAN_NAME = re.compile(r"_(in|per|since|for)_|^(age|n|num|total|tenure|duration)_", re.IGNORECASE)


_CLOCK = re.compile(r"-?\d{1,3}:[0-5]\d(:[0-5]\d([.,]\d+)?)?( ?[AP]M)?", re.IGNORECASE)
_WITH_UNIT = re.compile(r"[+-]?\d[\d.,' ]*\s?[^\d\s.,:/-]{1,6}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnGuess:
    """What a column can be used for, and why."""

    name: str
    original: str
    use: Use
    ascending: bool = False
    """Whether its numbers or times ascend over the file."""
    latest: float = 0.0
    """The latest of its times, in seconds since 1970."""
    kind: FeatureKind = "text"
    categorical: bool = False
    judged: bool = True
    """Whether a drift of it says anything; the calendar changes by itself."""
    reason: str
    """Why, as a part of a sentence."""
    number_form: NumberForm | None = None
    """How its numbers are written."""
    truth: tuple[str, str] | None = None
    """Its spellings of true and false, which become 1 and 0."""
    time_form: str | None = None
    """How its times are written."""
    multivalent: bool = False
    """Whether it holds lists of categories."""


def guess_column(profile: ColumnProfile) -> ColumnGuess:
    """What the column can be used for when it is not the label."""
    guess = _unusable(profile) or _time(profile) or _numeric(profile) or _textual(profile)
    why = _not_judged(guess, profile)
    if guess.use != "feature" or not why:
        return guess
    return replace(guess, judged=False, reason=f"{guess.reason}; {why}: drift is not judged")


def _not_judged(guess: ColumnGuess, profile: ColumnProfile) -> str:
    """Why a drift of the feature says nothing; empty when it does."""
    if is_calendar_name(guess.name):
        return "calendar"
    if profile.ascending and guess.kind != "text" and profile.distinct > CODES:
        return "ascends from the first row to the last, as a counter does or rows that are sorted"
    return ""


def is_id_name(name: str) -> bool:
    """Whether a name says that the column identifies rows.

    >>> is_id_name("customer_id"), is_id_name("customerID"), is_id_name("paid"), is_id_name("id")
    (True, True, False, True)
    """
    return bool(_ID_NAME.search(name) or _CAMEL_ID.search(name))


def is_time_name(name: str) -> bool:
    """Whether a name says that the column holds the time of the event.

    >>> is_time_name("created_at"), is_time_name("birth_date"), is_time_name("lifetime")
    (True, False, False)
    """
    return bool(_TIME_NAME.search(name)) and not _OTHER_TIME.search(name)


def is_calendar_name(name: str) -> bool:
    """Whether a name says that the column tells a place in the calendar, not a span of time.

    >>> is_calendar_name("hour"), is_calendar_name("start_month"), is_calendar_name("months_left")
    (True, True, False)
    >>> is_calendar_name("hours_per_week"), is_calendar_name("year")
    (False, False)
    """
    return bool(_CALENDAR_NAME.search(name)) and not _SPAN_NAME.search(name)


def _guess(profile: ColumnProfile, use: Use, reason: str, **more: object) -> ColumnGuess:
    return ColumnGuess(
        name=profile.name,
        original=profile.original,
        use=use,
        ascending=profile.ascending,
        latest=profile.latest,
        reason=reason,
        **more,  # type: ignore[arg-type]
    )


def _unusable(profile: ColumnProfile) -> ColumnGuess | None:
    if not profile.present:
        return _guess(profile, "none", "empty: no row has a value")
    if profile.distinct == 1:
        return _guess(profile, "none", f"constant: always {profile.examples(1)!r}")
    if profile.present < MIN_PRESENT_SHARE * profile.rows:
        return _guess(profile, "none", f"{profile.missing_share:.0%} of the rows have no value")
    return None


def _time(profile: ColumnProfile) -> ColumnGuess | None:
    form = profile.time_form
    if form is None or (form not in DATE_FORMS and not _may_be_epoch(profile)):
        return None
    doubt = "" if profile.time_certain else "; day and month could be the other way round"
    return _guess(profile, "time", f"a time, written as {form}{doubt}", time_form=form)


def _may_be_epoch(profile: ColumnProfile) -> bool:
    """A large number is a time if its column is called like one, or ascends."""
    if is_time_name(profile.name) or profile.time_form == SPREADSHEET:
        return is_time_name(profile.name)
    return profile.ascending and not is_id_name(profile.name)


def _numeric(profile: ColumnProfile) -> ColumnGuess | None:
    form = profile.number_form
    if form is None:
        return None
    if profile.leading_zeros and profile.whole:
        return None  # a code such as a postcode: text
    if profile.whole and _identifies_rows(profile):
        return _guess(profile, "id", "identifies rows: nearly every value occurs once")
    if max(abs(profile.low), abs(profile.high)) > LARGEST:
        reason = f"numbers up to {profile.high:g}; larger ones than {LARGEST:g} cannot be learnt"
        return _guess(profile, "none", reason)
    if not profile.told_apart:
        reason = (
            f"most numbers from {profile.extremes()} are the same in 32 bits, in which they are "
            "learnt; take the difference from a usual value, or write names of things as text, "
            "such as n17"
        )
        return _guess(profile, "none", reason)
    odd = _odd_values(profile)
    few = profile.distinct <= CODES and profile.distinct * ROWS_PER_CODE <= profile.rows
    span = f"from {profile.extremes()}{_written(profile, form)}{odd}"
    if not profile.whole or (form != "integer" and not few):
        return _guess(profile, "feature", f"numbers {span}", kind="number", number_form=form)
    if not few and (_THING_NAME.search(profile.name) or _CAMEL_ID.search(profile.name)):
        reason = f"{profile.distinct} numbers that name things, so that their size says nothing; "
        return _guess(profile, "none", f"{reason}written as text, such as n17, they are categories")
    if few:
        written = "" if profile.number_certain else _written(profile, form)
        reason = f"{profile.distinct} whole numbers, counted by value{written}{odd}"
        more = {"kind": "integer", "categorical": True, "number_form": form}
        return _guess(profile, "feature", reason, **more)
    return _guess(profile, "feature", f"whole numbers {span}", kind="integer", number_form=form)


def _written(profile: ColumnProfile, form: NumberForm) -> str:
    """How numbers are written, where it is not as code writes them."""
    notes = []
    if "comma" in form:
        notes.append("decimals with comma")
    elif "grouped" in form:
        notes.append("thousands with a separator")
    if not profile.number_certain:
        notes.append("the mark could be one of decimals" if "grouped" in form else "")
        notes[-1] = notes[-1] or "the mark could be one of thousands"
    notes += [f"written with {sign}, events have the number alone" for sign in profile.signs]
    return "".join(f", {note}" for note in notes)


def _identifies_rows(profile: ColumnProfile) -> bool:
    if profile.distinct_share < UNIQUE_SHARE:
        return is_id_name(profile.name) and profile.distinct_share > MANY_VALUES_SHARE
    strictly = profile.ascending and profile.distinct == profile.present
    return is_id_name(profile.name) or strictly


def _odd_values(profile: ColumnProfile) -> str:
    """What is said of the few values that are no numbers."""
    share = 1.0 - profile.number_share
    return f"; {share:.1%} are no numbers and count as missing" if share > 0 else ""


def _textual(profile: ColumnProfile) -> ColumnGuess:
    signs = signs_of(profile.values)
    if profile.number_form is None and len(signs) > 1 and profile.number_share >= NUMBER_SHARE:
        shown = ", ".join(sorted(signs))
        return _guess(profile, "none", f"numbers with several signs ({shown}); use one")
    truth = truth_pair(frozenset(profile.values))
    if truth is not None:
        reason = f"{truth[0]} or {truth[1]}: becomes 1 or 0"
        return _guess(profile, "feature", reason, kind="integer", categorical=True, truth=truth)
    if not profile.leading_zeros and MIXED_SHARE < profile.number_share < NUMBER_SHARE:
        return _guess(
            profile,
            "none",
            f"mixed types: {profile.number_share:.0%} of the values are numbers, the others not "
            f"({_texts(profile)})",
        )
    free = profile.words >= TEXT_WORDS and profile.distinct_share > MANY_VALUES_SHARE
    if free or profile.longest > MAX_CATEGORY_LENGTH or _long_and_varied(profile):
        return _guess(profile, "none", f"free text: up to {profile.longest} characters")
    if profile.distinct > CLOCK_VALUES and all(map(_CLOCK.fullmatch, profile.values)):
        reason = f"times of day or durations ({profile.examples(2)}, …); write them as one number"
        return _guess(profile, "none", f"{reason}, such as minutes")
    unique = profile.distinct_share >= UNIQUE_SHARE and not _unit_advice(profile)
    if unique and (profile.words < 2 or is_id_name(profile.name)):
        return _guess(profile, "id", "identifies rows: nearly every value occurs once")
    if profile.distinct_share > MANY_VALUES_SHARE:
        repeat = f"{profile.distinct} values in {profile.present} rows repeat too rarely"
        return _guess(profile, "none", f"{repeat}{_unit_advice(profile)}")
    reason = f"{profile.distinct} categories ({profile.examples()}, …)"
    if profile.distinct <= 3:
        reason = f"{profile.distinct} categories ({profile.examples()})"
    return _guess(profile, "feature", reason, kind="text", categorical=True)


def _unit_advice(profile: ColumnProfile) -> str:
    """What to do about numbers with a unit, such as ``12.5 kg``."""
    if not all(_WITH_UNIT.fullmatch(value) for value in profile.values):
        return ""
    return "; are they numbers? Write the unit into the column's name and the number alone"


def _long_and_varied(profile: ColumnProfile) -> bool:
    return profile.longest > TEXT_LENGTH and profile.distinct_share > MANY_VALUES_SHARE


def _texts(profile: ColumnProfile) -> str:
    """Values that are no numbers, the most frequent first."""
    texts = [value for value, _ in profile.values.most_common() if not number_forms(value)]
    return ", ".join(value[:20] for value in texts[:3])
