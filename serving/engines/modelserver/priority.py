"""A low priority for what TensorFlow computes beside requests, and for nothing else.

Python code of low priority holds up every thread: they wait for the interpreter's lock, whose owner
waits for a processor, seconds on a busy machine. A thread therefore has a low priority only while
it is within the C library, and what Python has to do with the results is done by another thread.
Without privileges a priority cannot be raised again, so that a lowered thread soon ends.
"""

from __future__ import annotations

import _thread
import ctypes
import os
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, TypeVar, cast

_LOWER_BY = 10
_LOWEST = 19
_SLICE_NS = 100_000
"""The shortest time slice (Linux 6.12 and later): the thread gets as little of the processor, but
soon, and so returns the interpreter's lock soon."""
_SCHED_SETATTR = 314  # the number of the system call on x86-64

Result = TypeVar("Result")
_library = ctypes.CDLL(None)
_threads = threading.local()


class _Attributes(ctypes.Structure):
    """``struct sched_attr`` of Linux."""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("policy", ctypes.c_uint32),
        ("flags", ctypes.c_uint64),
        ("nice", ctypes.c_int32),
        ("priority", ctypes.c_uint32),
        ("runtime", ctypes.c_uint64),
        ("deadline", ctypes.c_uint64),
        ("period", ctypes.c_uint64),
    )


class _Available:
    """How many versions answer requests now, and that are to be disturbed by no load."""

    def __init__(self) -> None:
        self._lock, self.versions, self.matter = threading.Lock(), 0, True

    def change(self, by: int) -> None:
        with self._lock:
            self.versions += by


_available = _Available()


class Computing:
    """Whether a thread is within the C library, and whether its priority was lowered there.

    Parameters
    ----------
    executor:
        Takes over what Python has to do after the thread was lowered.
    """

    __slots__ = ("_executor", "_lock", "_native_id", "_within", "lowered")

    def __init__(self, executor: Executor) -> None:
        self._executor, self._native_id = executor, threading.get_native_id()
        self._lock, self._within, self.lowered = threading.Lock(), False, False
        _threads.computing = self

    def __enter__(self) -> None:
        self._within = True

    def __exit__(self, *_: object) -> None:
        with self._lock:  # `lower` may be at it
            self._within = False

    def lower(self) -> None:
        """Lower the thread's priority, if it is within the C library now."""
        with self._lock:
            if self._within and not self.lowered:
                self.lowered = True
                lower_priority(self._native_id)

    def submit(self, function: Callable[..., Result], *arguments: Any) -> Future[Result]:
        """Run a function in another thread."""
        return self._executor.submit(function, *arguments)


def computing() -> Computing | None:
    """The state of this thread, if it is one whose priority may be lowered."""
    current: Computing | None = getattr(_threads, "computing", None)
    return current


def run(function: Callable[..., None], *arguments: Any) -> None:
    """Make a long call of the C library: for a request, whose thread may be lowered meanwhile, or
    else, for a load, in the background."""
    current = computing()
    if current is None:
        in_background(function, *arguments)
        return
    with current:
        function(*arguments)


def at_normal_priority(function: Callable[..., Result], *arguments: Any) -> Result:
    """Run a function, in another thread if this one has a low priority."""
    current = computing()
    if current is not None and current.lowered:
        return current.submit(function, *arguments).result()
    return function(*arguments)


def in_background(function: Callable[..., Result], *arguments: Any) -> Result:
    """Run a function of the C library at a low priority, while a version answers requests.

    With none there is nothing to disturb, and how soon the first one is available counts. So
    TensorFlow's threads, which all sessions share, start with the usual priority.
    """
    if not (_available.versions and _available.matter):
        return function(*arguments)
    messages: SimpleQueue[Any] = SimpleQueue()

    def run() -> None:
        messages.put(threading.get_native_id())
        try:
            messages.put((function(*arguments), None))
        except BaseException as error:  # noqa: BLE001 - it belongs to the caller
            messages.put((None, error))

    # Python's part of the thread is as short as can be, and this thread lowers its priority: while
    # one of low priority has the interpreter's lock, all others wait for it.
    _thread.start_new_thread(run, ())
    lower_priority(messages.get())
    result, error = messages.get()
    if error is not None:
        raise error
    return cast(Result, result)


def never_in_background() -> None:
    """No load gives way: the versions of this server answer nobody who would notice."""
    _available.matter = False


def version_is_available() -> None:
    """From now on one more version answers requests."""
    _available.change(1)


def version_is_unloaded() -> None:
    """One version less answers requests."""
    _available.change(-1)


def take_short_slices() -> None:
    """Let this thread have the processor in short slices, which keeps its priority.

    The kernel (Linux 6.12 and later) runs it the sooner after it was woken: a request then does not
    wait until a thread that loads a version has used its slice of some milliseconds.
    """
    native_id = threading.get_native_id()
    _set_slices(native_id, os.getpriority(os.PRIO_PROCESS, native_id))


def _set_slices(native_id: int, nice: int) -> None:
    attributes = _Attributes(size=ctypes.sizeof(_Attributes), nice=nice, runtime=_SLICE_NS)
    if os.uname().machine == "x86_64":
        _library.syscall(_SCHED_SETATTR, native_id, ctypes.byref(attributes), 0)


def lower_priority(native_id: int) -> None:
    """Lower the priority of a thread below that of this process, whatever that is."""
    nice = min(_LOWEST, os.getpriority(os.PRIO_PROCESS, os.getpid()) + _LOWER_BY)
    _set_slices(native_id, nice)
    with suppress(OSError):  # the thread has just ended
        os.setpriority(os.PRIO_PROCESS, native_id, nice)
