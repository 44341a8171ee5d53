"""What the argument of `driftline trace` names: a record, a version, a digest or a window. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from deploy.config.units import parse_time
from streaming.contracts.records import AnyRecord, DriftVerdict, ModelVersion, Promotion

SHORTEST_ID = 6
"""Number of first characters of an id or a digest by which a record is found."""
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}([T ].*)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A parsed argument; a text can be an id and a version at once."""

    text: str
    model: str | None = None
    """The model that versions and windows belong to; None = any."""
    version: int = 0
    """0 = the text is no number."""
    time: float | None = None
    """A point in event time, which stands for the window that has it; None = the text is none."""

    def names(self, record: AnyRecord) -> bool:
        """Whether the record has this id, or one that begins so."""
        return len(self.text) >= SHORTEST_ID and record.record_id.startswith(self.text)

    def is_about(self, record: AnyRecord) -> bool:
        """Whether it is the version or promotion, or the verdict on the window."""
        if self.model not in (None, record.model):
            return False
        match record:
            case ModelVersion() | Promotion():
                if self.version and record.version == self.version:
                    return True
                return self.is_digest(record.artifact.digest)
            case DriftVerdict():
                time = self.time
                return time is not None and record.window_start <= time < record.window_end
            case _:
                return False

    def is_digest(self, digest: str) -> bool:
        """Whether the text is this digest, or its begin."""
        return len(self.text) >= SHORTEST_ID and digest.startswith(self.text)


def parse_target(text: str, model: str | None = None) -> Target:
    """The argument of `driftline trace`.

    >>> parse_target("2").version, parse_target("1970-01-01T00:01").time
    (2, 60.0)
    >>> parse_target("1970-01-01 00:01:00 UTC").time
    60.0
    """
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0
    time = None
    if _TIME.fullmatch(text):
        try:
            time = parse_time(text.removesuffix(" UTC"), 0.0)
        except ValueError:
            time = None
    return Target(text=text, model=model, version=number, time=time)


def find(records: Iterable[AnyRecord], target: Target) -> AnyRecord | None:
    """The record that is meant: one by its id first, then a promotion, a version, a verdict.

    Parameters
    ----------
    records:
        Newest first.
    """
    kinds: tuple[type[AnyRecord], ...] = (Promotion, ModelVersion, DriftVerdict)
    about: dict[type[AnyRecord], AnyRecord] = {}
    for record in records:
        if target.names(record):
            return record
        if target.is_about(record):
            about.setdefault(type(record), record)
    return next((about[kind] for kind in kinds if kind in about), None)
