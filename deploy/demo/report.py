"""`report.json`: what a demonstration has seen, in one fixed form.

Versions and counts are integers, times are seconds; `at_seconds` counts from the start. A value
that was never observed is null, not zero.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import msgspec

from streaming.contracts.errors import DecodeError, NotFoundError

Outcome = Literal["passed", "failed"]
StepVerdict = Literal["pass", "fail", "insufficient", "error"]


class Form(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of the report; unknown fields are refused on reading."""


class Moment(Form, frozen=True, kw_only=True):
    """Something that happened."""

    at_seconds: float
    what: str
    detail: str


class Events(Form, frozen=True, kw_only=True):
    """Every event, accounted once."""

    sent: int = 0
    accepted: int = 0
    dead_letters: int = 0
    late: int = 0
    offsets_read: int = 0


class Windows(Form, frozen=True, kw_only=True):
    """Verdicts by outcome; `judged` is their sum."""

    judged: int = 0
    stable: int = 0
    suspected: int = 0
    drifted: int = 0
    inconclusive: int = 0


class Version(Form, frozen=True, kw_only=True):
    """One trained version; `auc_on_shift` is measured on rows from after the shift."""

    version: int
    auc: float | None
    auc_on_shift: float | None
    blessed: bool


class Quality(Form, frozen=True, kw_only=True):
    """What came true of the live versions' predictions: looks by outcome."""

    stable: int = 0
    suspected: int = 0
    degraded: int = 0
    inconclusive: int = 0
    seconds_turn_to_degraded: float | None = None
    """From the change of meaning to the verdict that says so."""


class CanaryStep(Form, frozen=True, kw_only=True):
    """One step of the rollout and its last verdict."""

    weight: int
    verdict: StepVerdict
    seconds: float
    requests: int


class Canary(Form, frozen=True, kw_only=True):
    """The rollout, with all requests of the clients from its start to its end."""

    steps: tuple[CanaryStep, ...] = ()
    client_requests: int = 0
    client_errors: int = 0
    seconds_to_promote: float | None = None


class Report(Form, frozen=True, kw_only=True):
    """One run."""

    scenario: str
    data: str
    """The replayed file's name, or ``generated``."""
    started_at: float
    finished_at: float
    outcome: Outcome
    why: str
    timeline: tuple[Moment, ...]
    events: Events
    windows: Windows
    false_alarms_before_shift: int
    seconds_shift_to_drifted: float | None
    windows_shift_to_drifted: int | None
    retrains: int
    retrain_seconds: float | None
    versions: tuple[Version, ...]
    canary: Canary
    promoted_version: int | None
    windows_after_promotion_stable: int
    quality: Quality = Quality()


def encode(report: Report) -> bytes:
    """The report as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"


def write(report: Report, file: Path) -> None:
    """Write it in one step."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(".tmp")
    temporary.write_bytes(encode(report))
    os.replace(temporary, file)


def read(file: Path) -> Report:
    """Read a report back.

    Raises
    ------
    NotFoundError
        When there is none.
    DecodeError
        When it is not exactly of this form.
    """
    try:
        return msgspec.json.decode(file.read_bytes(), type=Report)
    except FileNotFoundError as error:
        raise NotFoundError(f"{file} does not exist; `driftline demo` writes it.") from error
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise DecodeError(f"{file} is no report of this form: {error}.") from error
