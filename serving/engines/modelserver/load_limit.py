"""A limit for what a version may take to load: a graph can run for ever.

Without it one such version would keep the thread that loads the model's versions, and no good one
would be loaded any more.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from serving.engines.modelserver.codes import Code, Refused
from serving.engines.modelserver.saved_model import SavedModel

WARM_UP_SECONDS = 60.0
"""Longest time of a warm-up; restoring and initialising have `saved_model.LOAD_SECONDS`."""


@contextmanager
def limited(model: SavedModel, seconds: float | None = None) -> Iterator[None]:
    """Cancel what the model runs after `seconds` (`WARM_UP_SECONDS`).

    Raises
    ------
    Refused
        DEADLINE_EXCEEDED when it was cancelled, whatever the block made of that: the model cannot
        run again.
    """
    seconds = WARM_UP_SECONDS if seconds is None else seconds
    expired = threading.Event()

    def cancel() -> None:
        expired.set()
        model.cancel()

    timer = threading.Timer(seconds, cancel)
    timer.start()
    try:
        yield
    except Refused:
        if not expired.is_set():
            raise
    finally:
        timer.cancel()
    if expired.is_set():
        raise Refused(Code.DEADLINE_EXCEEDED, f"The warm-up took longer than {seconds:g} s.")
