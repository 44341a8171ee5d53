"""Delivers what waits, channel by channel, and tries again what did not arrive."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from deploy.metrics.notifier import NotifierExporter
from deploy.notify.alerts import AlertGroup, decode_group
from deploy.notify.channels import Channel, NotDelivered, Refused
from deploy.notify.history import Delivery, History
from streaming.contracts.errors import PermanentError

WAITS = (2.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
"""Seconds before each further attempt; after the last one a notification is given up."""
LONGEST_WAIT = 900.0

log = structlog.get_logger()


def next_attempt(attempts: int, asked: float | None) -> float | None:
    """Seconds until the next attempt after this number of attempts; None: give up.

    Parameters
    ----------
    attempts:
        Attempts so far, from 1.
    asked:
        What the receiver asked for, seconds.

    >>> next_attempt(1, None), next_attempt(1, 30.0), next_attempt(8, None)
    (2.0, 30.0, None)
    """
    if attempts > len(WAITS):
        return None
    return max(WAITS[attempts - 1], min(asked or 0.0, LONGEST_WAIT))


@dataclass
class Deliverer:
    """Takes groups of alerts and brings them to every channel that wants them."""

    channels: Sequence[Channel]
    history: History
    exporter: NotifierExporter = field(default_factory=NotifierExporter)
    now: Callable[[], float] = time.time

    def __post_init__(self) -> None:
        for channel in self.channels:
            self.exporter.known(channel.name)

    def take(self, group: AlertGroup, body: bytes) -> int:
        """Write a group down for each channel that wants it; returns their number."""
        wanting = [channel for channel in self.channels if channel.wants(group)]
        for channel in wanting:
            self.history.enqueue(channel.name, group.key, body, self.now())
        return len(wanting)

    def step(self) -> int:
        """Try what is due, one of each channel; returns how many were tried."""
        tried = 0
        for channel in self.channels:
            delivery = self.history.due(channel.name, self.now())
            if delivery is not None:
                tried += 1
                self._try(channel, delivery)
        return tried

    def _try(self, channel: Channel, delivery: Delivery) -> None:
        try:
            detail = channel.deliver(delivery, decode_group(delivery.body))
        except NotDelivered as error:
            self._not_delivered(delivery, error)
            return
        except (Refused, PermanentError) as error:
            self._end(delivery, "refused", str(error))
            return
        except Exception as error:
            # A fault of ours must not keep the notifications behind it.
            log.exception("notification.failed", channel=channel.name, cause=delivery.cause)
            self._end(delivery, "failed", f"{type(error).__name__}: {error}")
            return
        self._end(delivery, "delivered", detail)

    def _not_delivered(self, delivery: Delivery, error: NotDelivered) -> None:
        wait = next_attempt(delivery.attempts + 1, error.seconds)
        if wait is None:
            self._end(delivery, "failed", str(error))
            return
        self.history.tried(delivery, "waiting", str(error), due=self.now() + wait)

    def _end(self, delivery: Delivery, outcome: str, detail: str) -> None:
        self.history.tried(delivery, outcome, detail)
        self.exporter.counted(delivery.channel, "failed" if outcome == "refused" else outcome)
        log.info(
            "notification." + outcome,
            channel=delivery.channel,
            cause=delivery.cause,
            detail=detail,
        )
