"""The worker's clean-up: old files of retrains go by themselves, when it starts and after retrains.

It runs in a thread of the worker and never disturbs it: whatever fails is logged, and tried again
after the next retrain. One process cleans up at a time.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import structlog
from msgspec.structs import replace

from deploy.config.units import format_megabytes
from deploy.services.retrain_files import clean_up_rules, remove, retrain_files, what_can_be_freed
from retrain.clean_up import plan_clean_up
from retrain.ports import Room
from streaming.contracts.errors import DriftlineError

if TYPE_CHECKING:
    from deploy.app.deployment import Deployment

log = structlog.get_logger()

_JOIN_SECONDS = 10.0


@contextmanager
def cleaned_up(deployment: Deployment) -> Iterator[Callable[[], None]]:
    """Clean up now; the function that the `with` gives asks for it again, and returns at once."""
    due, stop = threading.Event(), threading.Event()
    if not deployment.settings.retrain.clean_up:
        yield due.set
        return
    due.set()
    thread = threading.Thread(
        target=_follow, args=(deployment, due, stop), name="clean-up", daemon=True
    )
    thread.start()
    try:
        yield due.set
    finally:
        stop.set()
        due.set()
        thread.join(_JOIN_SECONDS)


def _follow(deployment: Deployment, due: threading.Event, stop: threading.Event) -> None:
    while True:
        due.wait()
        due.clear()
        if stop.is_set():
            return
        try:
            clean_up_now(deployment)
        except (DriftlineError, OSError) as error:
            log.warning("clean_up.failed", reason=str(error))
        except Exception:  # the thread outlives whatever fails
            log.exception("clean_up.failed")


def clean_up_now(deployment: Deployment, *, disk_full: bool = False) -> int:
    """Remove what the settings let go; returns the bytes that were freed.

    Parameters
    ----------
    disk_full:
        Also what nobody reads again, however young it is; then another clean-up is waited for.

    Raises
    ------
    TemporaryError
        When the log or ML Metadata cannot be used. Without the log nothing is removed.
    """
    with alone(deployment, wait=disk_full) as mine:
        if not mine:
            return 0
        rules = replace(clean_up_rules(deployment), disk_full=disk_full)
        with deployment.log() as records:
            plan = plan_clean_up(retrain_files(deployment, records), rules, time.time())
        freed = remove(deployment, plan)
    if plan.removed:
        log.info(
            "clean_up.removed",
            files=len(plan.removed),
            freed=format_megabytes(freed),
            kinds=sorted({removal.files.kind for removal in plan.removed}),
        )
    if plan.above_quota:
        log.warning("clean_up.above_quota", excess=format_megabytes(plan.above_quota))
    return freed


def make_room(deployment: Deployment) -> Room:
    """Clean up because the disk is full, and say what can still be freed."""
    freed = 0
    if deployment.settings.retrain.clean_up:
        try:
            freed = clean_up_now(deployment, disk_full=True)
        except (DriftlineError, OSError) as error:  # the full disk matters more
            log.warning("clean_up.failed", reason=str(error))
    return Room(freed=freed, advice=what_can_be_freed(deployment))


@contextmanager
def alone(deployment: Deployment, *, wait: bool) -> Iterator[bool]:
    """Whether this process alone removes files now; the lock needs no space on the disk.

    Parameters
    ----------
    wait:
        Whether to wait until others have ended.
    """
    deployment.artifact_root.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(deployment.artifact_root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        yield False
    else:
        yield True
    finally:
        os.close(descriptor)
