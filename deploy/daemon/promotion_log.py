"""The newest promotion of a model, read from the log: the port `PromotionLog`."""

from __future__ import annotations

from dataclasses import dataclass

from deploy.records import reader
from streaming.contracts.log import RecordLog
from streaming.contracts.records import Promotion


@dataclass(frozen=True, slots=True)
class LogPromotions:
    """Reads the topic of the promotions from its end, when it is asked."""

    log: RecordLog
    model: str

    def newest(self) -> Promotion | None:
        """See `serving.ports.PromotionLog.newest`."""
        promotions = reader.newest(self.log, Promotion, self.model, 1)
        return promotions[0] if promotions else None
