"""The references of promotions, from the artifact store."""

from __future__ import annotations

import structlog

from streaming.baseline import SeasonalReference
from streaming.contracts.artifacts import ArtifactReader
from streaming.contracts.codec import decode_as
from streaming.contracts.errors import DriftlineError
from streaming.contracts.model import ModelContract
from streaming.contracts.records import Artifact, Promotion, ReferenceSummary, WindowSummary
from streaming.drift import DriftRules, PreparedReference

log = structlog.get_logger(__name__)


def read_reference(
    store: ArtifactReader, reference: Artifact, contract: ModelContract, rules: DriftRules
) -> SeasonalReference:
    """The reference of a promotion, prepared for any window.

    Raises
    ------
    DriftlineError, OSError
        When it is missing, changed or not a reference.
    """
    return SeasonalReference(decode_as(store.get(reference), ReferenceSummary), contract, rules)


class PromotedReferences:
    """The references of one model's promotions; each is read once while it is in use."""

    def __init__(self, store: ArtifactReader, contract: ModelContract, rules: DriftRules) -> None:
        self._store = store
        self._contract = contract
        self._rules = rules
        self._cached: tuple[str, SeasonalReference] | None = None

    def for_window(
        self, promotion: Promotion | None, window: WindowSummary
    ) -> PreparedReference | None:
        """The promotion's reference for `window`; None when it cannot be used.

        Windows without a usable reference are inconclusive. Reading a reference that is missing or
        changed is tried again with the next window.
        """
        if promotion is None or promotion.reference is None:
            return None
        if self._cached is None or self._cached[0] != promotion.record_id:
            try:
                reference = read_reference(
                    self._store, promotion.reference, self._contract, self._rules
                )
                self._cached = (promotion.record_id, reference)
            except (DriftlineError, OSError) as error:
                log.error(
                    "reference.unusable",
                    model=promotion.model,
                    version=promotion.version,
                    error=str(error),
                )
                return None
        return self._cached[1].at(window.window_start, window.window_end)
