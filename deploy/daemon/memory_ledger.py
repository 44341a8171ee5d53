"""Who holds how much of the memory that the model servers of a deployment may take.

The daemon has one ledger for all of its models. It is filled anew after a restart, so nothing is
granted until every model has been heard, or had time to be.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from serving.memory_budget import FILE_FACTOR, Claim, decide
from serving.ports import MemoryAnswer, MemoryDemand
from streaming.contracts.model_manifest import served_size

HEARD_SECONDS = 30.0
"""A model that has not been heard for this long after the start is not waited for."""


NO_LABELS: Mapping[str, tuple[int, ...]] = MappingProxyType({})


class MemoryLedger:
    """Implements `serving.ports.MemoryBudget` for all models; safe for threads.

    Parameters
    ----------
    budget:
        Bytes for the versions of all models.
    models:
        The models that are served.
    size_of:
        Bytes of a version's files; 0 where there are none.
    labelled:
        By model, the versions that its labels keep loaded in any case.
    """

    def __init__(
        self,
        budget: int,
        models: Iterable[str],
        size_of: Callable[[str, int], int],
        labelled: Mapping[str, tuple[int, ...]] = NO_LABELS,
    ) -> None:
        self._budget = budget
        self._silent = set(models)
        self._size_of, self._labelled = size_of, labelled
        self._lock = threading.Lock()
        self._claims: dict[str, Claim] = {}
        self._sizes: dict[tuple[str, int], int] = {}
        self._started: float | None = None

    def ask(self, model: str, demand: MemoryDemand, *, now: float) -> MemoryAnswer:
        """See `serving.ports.MemoryBudget`."""
        with self._lock:
            self._started = now if self._started is None else min(self._started, now)
            self._silent.discard(model)
            before = self._claims.get(model)
            since = before.since if before is not None and before.rollout else now
            labelled = self._labelled.get(model, ())
            needed = (*demand.rollout, *labelled) if demand.rollout else ()
            self._claims[model] = Claim(
                at_rest=self._bytes(model, (*demand.at_rest, *labelled)),
                rollout=self._bytes(model, needed),
                granted=demand.granted,
                since=since,
            )
            if self._silent and now - self._started < HEARD_SECONDS:
                return MemoryAnswer(
                    outcome="waits",
                    reason="The daemon has just started and does not know yet what every model "
                    "has loaded.",
                )
            answer = decide(model, self._claims, self._budget)
            if answer.outcome == "granted" and demand.rollout:
                claim = self._claims[model]
                # Nobody else gets it meanwhile, until the model says that it has taken it.
                self._claims[model] = Claim(
                    at_rest=claim.at_rest, rollout=claim.rollout, granted=True, since=since
                )
            return answer

    def _bytes(self, model: str, versions: Iterable[int]) -> int:
        return round(FILE_FACTOR * sum(self._size(model, version) for version in versions))

    def _size(self, model: str, version: int) -> int:
        key = (model, version)
        if not self._sizes.get(key):
            self._sizes[key] = self._size_of(model, version)
        return self._sizes[key]


def size_in(root: Path, model: str, version: int) -> int:
    """Bytes of a version's files below the store's folder of models; 0 where there are none."""
    return served_size(root / model / str(version))
