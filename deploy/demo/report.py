"""`report.json`: the result of a demonstration in one fixed format.

Versions and counts are integers, times are seconds, `at_seconds` counts from the start of the run.
A value that was never observed is null, not zero.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import msgspec

from streaming.contracts.errors import DecodeError, NotFoundError

Outcome = Literal["passed", "failed"]
StepVerdict = Literal["pass", "fail", "insufficient", "error"]


class ReportPart(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all parts of the report; unknown fields are refused on reading."""


class TimelineEntry(ReportPart, frozen=True, kw_only=True):
    """One event of the run."""

    at_seconds: float
    what: str
    detail: str


class Events(ReportPart, frozen=True, kw_only=True):
    """Counts of the events; each event is counted once."""

    sent: int = 0
    accepted: int = 0
    dead_letters: int = 0
    late: int = 0
    offsets_read: int = 0


class Windows(ReportPart, frozen=True, kw_only=True):
    """Number of drift verdicts by outcome; `judged` is their sum."""

    judged: int = 0
    stable: int = 0
    suspected: int = 0
    drifted: int = 0
    inconclusive: int = 0


class Version(ReportPart, frozen=True, kw_only=True):
    """One trained version; `auc_on_shift` is measured on rows from after the shift."""

    version: int
    auc: float | None
    auc_on_shift: float | None
    blessed: bool


class Quality(ReportPart, frozen=True, kw_only=True):
    """Number of realised quality verdicts on the live versions, by outcome."""

    stable: int = 0
    suspected: int = 0
    degraded: int = 0
    inconclusive: int = 0
    seconds_concept_shift_to_degraded: float | None = None
    """Seconds from the concept shift to the first verdict ``degraded``."""


class CanaryStep(ReportPart, frozen=True, kw_only=True):
    """One step of the rollout with its last verdict."""

    weight: int
    verdict: StepVerdict
    seconds: float
    requests: int


class Canary(ReportPart, frozen=True, kw_only=True):
    """The rollout, with all client requests from its start to its end."""

    steps: tuple[CanaryStep, ...] = ()
    client_requests: int = 0
    client_errors: int = 0
    seconds_to_promote: float | None = None


class Report(ReportPart, frozen=True, kw_only=True):
    """The result of one run."""

    scenario: str
    data: str
    """Name of the replayed file, or ``generated``."""
    started_at: float
    finished_at: float
    outcome: Outcome
    why: str
    timeline: tuple[TimelineEntry, ...]
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
    """Encode the report as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"


def write(report: Report, file: Path) -> None:
    """Write the report; the file is replaced in one step."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(".tmp")
    temporary.write_bytes(encode(report))
    os.replace(temporary, file)


def read(file: Path) -> Report:
    """Read a report.

    Raises
    ------
    NotFoundError
        When the file does not exist.
    DecodeError
        When the content does not have exactly this format.
    """
    try:
        return msgspec.json.decode(file.read_bytes(), type=Report)
    except FileNotFoundError as error:
        raise NotFoundError(f"{file} does not exist; `driftline demo` writes it.") from error
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise DecodeError(f"{file} is not a demonstration report: {error}.") from error
