"""TF Serving's version policies: which versions of a model are loaded."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from streaming.contracts.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Named versions, or the `latest` newest ones; no names and 0 mean no version."""

    specific: tuple[int, ...] = ()
    latest: int = 0

    def select(self, on_disk: Collection[int]) -> tuple[int, ...]:
        """The versions to load, in loading order.

        >>> Policy(latest=1).select([1, 3, 2])
        (3,)
        >>> Policy(specific=(2, 9)).select([1, 2])
        (2,)
        """
        if self.latest:
            return tuple(sorted(on_disk)[-self.latest :])
        return tuple(version for version in sorted(set(self.specific)) if version in on_disk)

    @property
    def unloads_all(self) -> bool:
        """Whether the policy explicitly selects no version."""
        return not self.specific and not self.latest


EVERY_VERSION = 1 << 30


def read_policy(text: str) -> Policy:
    """Parse the flag ``--versions``: ``latest``, ``none`` or ``3,4``.

    >>> read_policy("3,4")
    Policy(specific=(3, 4), latest=0)

    Raises
    ------
    ConfigurationError
        For anything else.
    """
    if text in ("latest", "none"):
        return Policy(latest=int(text == "latest"))
    parts = text.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise ConfigurationError(
            f"--versions is {text!r}; expected latest, none or version numbers such as 3,4."
        )
    return Policy(specific=tuple(int(part) for part in parts))


MAX_VERSION = 2**63 - 1
"""TF Serving keeps versions in 64 bits; a folder with a larger number is no version."""


def versions_on_disk(base_path: Path) -> dict[int, Path]:
    """The version folders under `base_path` that hold a SavedModel; none if it cannot be read."""
    try:
        # sorted, so that 7 replaces 007 as in TF Serving (file_system_storage_path_source.cc)
        folders = [path for path in sorted(base_path.iterdir()) if is_version(path.name)]
    except OSError:  # missing, a file, or not ours to read: what is loaded stays loaded
        return {}
    return {int(folder.name): folder for folder in folders if _has_model(folder)}


def is_version(name: str) -> bool:
    """Whether the name of a folder is a version, a number below 2^63."""
    # more than 19 digits cannot be below 2^63, and int() refuses more than 4,300
    digits = name.lstrip("0")
    return name.isascii() and name.isdecimal() and len(digits) < 20 and int(name) <= MAX_VERSION


def _has_model(folder: Path) -> bool:
    try:
        return any((folder / name).exists() for name in ("saved_model.pb", "saved_model.cpb"))
    except OSError:
        return False
