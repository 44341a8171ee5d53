"""Which files of retrains may go: by age, by count, and by a quota of bytes. Pure.

What a record in force points to is held, whatever the rules say. Of the rest goes what is older
than the rules allow; and where all files together are more than the quota, further ones go, those
first that are the easiest to make again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import msgspec

FileKind = Literal["leftover", "attempt", "pipeline", "examples", "logs", "run", "version"]
"""What files are: half-written files of dead processes; states and folders of attempts whose
request has ended; nodes of pipelines run by hand; examples, TensorBoard's logs and other files of
runs; published versions."""

_ORDER: tuple[FileKind, ...] = (
    "leftover", "attempt", "pipeline", "examples", "logs", "run", "version",
)  # fmt: skip
"""In which order they go for the quota."""

UNTOUCHED_SECONDS = 3_600.0
"""Files that were changed in this time never go: a process may be at work on them."""


class KeptFiles(msgspec.Struct, frozen=True, kw_only=True):
    """A file or folder of a retrain."""

    kind: FileKind
    model: str
    """Model that it belongs to."""
    name: str
    """Number of the version, id of the run or attempt, or path of the rest."""
    path: str
    size: int
    """Bytes; of parts that are listed by themselves none."""
    at: float
    """Time of the last change, seconds since 1970."""
    held_by: str = ""
    """What points to it, in words; it then stays. Empty: nothing does."""


class CleanUpRules(msgspec.Struct, frozen=True, kw_only=True):
    """What may stay."""

    keep_seconds: float = 30 * 86400.0
    """Files that nothing points to stay this long after their last change, in seconds."""
    keep_versions: int = 10
    """Newest versions of each model that stay, whatever their age."""
    max_bytes: int | None = None
    """Bytes that all files together may take; None = any number."""
    disk_full: bool = False
    """Whether files that nobody reads again (leftovers, and attempts whose request has ended) go
    however young they are."""


class Removal(msgspec.Struct, frozen=True, kw_only=True):
    """Files that go."""

    files: KeptFiles
    reason: str


class CleanUp(msgspec.Struct, frozen=True, kw_only=True):
    """What goes and what stays."""

    removed: tuple[Removal, ...]
    kept: tuple[KeptFiles, ...]
    freed: int
    """Bytes of what goes."""
    left: int
    """Bytes of what stays."""
    above_quota: int = 0
    """Bytes by which what stays is more than the quota; it is held, or too young."""


def plan_clean_up(files: Sequence[KeptFiles], rules: CleanUpRules, now: float) -> CleanUp:
    """Decide what goes.

    Parameters
    ----------
    files:
        Everything that there is.
    now:
        Seconds since 1970.
    """
    newest = _newest_versions(files, rules.keep_versions)
    free = [
        each
        for each in files
        if not each.held_by and each.path not in newest and now - each.at > UNTOUCHED_SECONDS
    ]
    free.sort(key=lambda each: (_ORDER.index(each.kind), each.at, each.path))
    reasons = {}
    for each in free:
        if each.kind == "leftover" or now - each.at > rules.keep_seconds:
            reasons[each.path] = f"unchanged for {(now - each.at) / 86400.0:.0f} d"
        elif rules.disk_full and each.kind == "attempt":
            reasons[each.path] = "its request has ended, and the disk is full"
    left = sum(each.size for each in files if each.path not in reasons)
    for each in free:
        if rules.max_bytes is None or left <= rules.max_bytes:
            break
        if each.path not in reasons:
            reasons[each.path] = "the quota is exceeded"
            left -= each.size
    kept = tuple(each for each in files if each.path not in reasons)
    removed = tuple(
        Removal(files=each, reason=reasons[each.path]) for each in free if each.path in reasons
    )
    return CleanUp(
        removed=removed,
        kept=kept,
        freed=sum(removal.files.size for removal in removed),
        left=left,
        above_quota=max(0, left - rules.max_bytes) if rules.max_bytes is not None else 0,
    )


def size_by_kind(files: Sequence[KeptFiles]) -> dict[FileKind, int]:
    """Bytes of each kind that there is, in the order in which they go."""
    sizes: Counter[FileKind] = Counter()
    for each in files:
        sizes[each.kind] += each.size
    return {kind: sizes[kind] for kind in _ORDER if kind in sizes}


def _newest_versions(files: Sequence[KeptFiles], count: int) -> set[str]:
    """Paths of the newest versions; the newest one always stays: the next number follows it."""
    by_model: dict[str, list[KeptFiles]] = {}
    for each in files:
        if each.kind == "version":
            by_model.setdefault(each.model, []).append(each)
    return {
        each.path
        for versions in by_model.values()
        for each in sorted(versions, key=lambda v: int(v.name))[-max(count, 1) :]
    }
