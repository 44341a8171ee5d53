"""A producer whose messages are delivered at once, so that nothing waits in it."""

from __future__ import annotations


class FlushedProducer:
    """What a replay asks of a producer besides `produce`."""

    def poll(self, timeout: float) -> int:
        return 0

    def flush(self, timeout: float) -> int:
        return 0

    def __len__(self) -> int:
        return 0
