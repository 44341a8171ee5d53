"""The state of one version, and the requests that hold its model."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from enum import IntEnum

from serving.engines.modelserver.codes import Code
from serving.engines.modelserver.saved_model import SavedModel


class State(IntEnum):
    """``ModelVersionStatus.State`` of TF Serving."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclass(slots=True, eq=False)
class Hold:
    """A request that uses a model."""

    version: int
    loaded: Loaded
    until: float
    """Monotonic time at which it should have ended."""


@dataclass(slots=True, eq=False)
class Loaded:
    """A loaded model and the requests that use it now."""

    model: SavedModel
    holds: set[Hold] = field(default_factory=set)
    retired: bool = False
    """Whether no further request may use it."""

    def overdue(self) -> list[Hold]:
        """The requests that should have ended."""
        now = time.monotonic()
        return [hold for hold in self.holds if now > hold.until]


@dataclass(slots=True)
class Entry:
    """The state of one version."""

    version: int
    state: State = State.START
    code: Code = Code.OK
    message: str = ""
    loaded: Loaded | None = None
    file_stamp: int = 0
    """The stamp of its files when it was loaded; 0 to load it again whatever they are."""

    @property
    def is_settled(self) -> bool:
        """Whether it is loaded, or failed to load and will not be tried again as it is."""
        return self.state is State.AVAILABLE or (self.state is State.END and self.file_stamp != 0)
