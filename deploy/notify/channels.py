"""What every channel can do, and how a delivery ends."""

from __future__ import annotations

from typing import Protocol

from deploy.notify.alerts import AlertGroup
from deploy.notify.history import Delivery


class NotDelivered(Exception):
    """It did not arrive, and may be tried again.

    Parameters
    ----------
    seconds:
        When the receiver said to come back; None if it did not say.
    """

    def __init__(self, reason: str, seconds: float | None = None) -> None:
        super().__init__(reason)
        self.seconds = seconds


class Refused(Exception):
    """It may not be sent, or the receiver will never take it; trying again is of no use."""


class Channel(Protocol):
    """A place that notifications go to."""

    @property
    def name(self) -> str:
        """Its name in history and metrics."""
        ...

    def wants(self, group: AlertGroup) -> bool:
        """Whether it gets this group."""
        ...

    def deliver(self, delivery: Delivery, group: AlertGroup) -> str:
        """Send it and return what there is to say of it; raises `NotDelivered`, `Refused`."""
        ...
