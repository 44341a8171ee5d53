"""The references of promotions, from the artifact store."""

from __future__ import annotations

import logging

from streaming.baseline import SeasonalReference
from streaming.contracts.codec import decode_as
from streaming.contracts.errors import DriftlineError
from streaming.contracts.model import ModelContract
from streaming.contracts.records import Artifact, Promotion, ReferenceSummary, WindowSummary
from streaming.drift import DriftRules, PreparedReference
from streaming.engines.artifact_store import ArtifactStore

_LOG = logging.getLogger(__name__)


def read_reference(
    store: ArtifactStore, reference: Artifact, contract: ModelContract, rules: DriftRules
) -> SeasonalReference:
    """The yardsticks of one promotion, ready for any window.

    Raises
    ------
    DriftlineError, OSError
        When it is missing, changed or not a reference.
    """
    return SeasonalReference(decode_as(store.get(reference), ReferenceSummary), contract, rules)


class References:
    """The references of promotions, read once and kept while they are in use."""

    def __init__(self, store: ArtifactStore, contract: ModelContract, rules: DriftRules) -> None:
        self._store = store
        self._contract = contract
        self._rules = rules
        self._kept: tuple[str, SeasonalReference] | None = None

    def of(self, promotion: Promotion | None, window: WindowSummary) -> PreparedReference | None:
        """The yardstick for `window` that came with `promotion`; None when none can be trusted.

        A reference that is missing or changed judges nothing: its windows are inconclusive, and
        it is tried again with the next one.
        """
        if promotion is None or promotion.reference is None:
            return None
        if self._kept is None or self._kept[0] != promotion.record_id:
            try:
                season = read_reference(
                    self._store, promotion.reference, self._contract, self._rules
                )
                self._kept = (promotion.record_id, season)
            except (DriftlineError, OSError) as error:
                _LOG.error("No reference for version %d: %s", promotion.version, error)
                return None
        return self._kept[1].at(window.window_start, window.window_end)
