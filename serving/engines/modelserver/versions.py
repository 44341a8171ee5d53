"""Loads and unloads versions in the background while requests go on.

One thread reconciles the loaded versions with the policy. An old version is unloaded only when a
requested one is AVAILABLE (unless none is requested), and is freed after its last request. A
version that failed to load is retried when its files change or a new policy names it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from serving.engines.modelserver.codes import Code, Refused, invalid
from serving.engines.modelserver.log import log
from serving.engines.modelserver.policy import Policy, versions_on_disk
from serving.engines.modelserver.saved_model import SavedModel


class State(IntEnum):
    """``ModelVersionStatus.State`` of TF Serving."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclass(slots=True)
class Entry:
    """The state of one version."""

    version: int
    state: State = State.START
    code: Code = Code.OK
    message: str = ""
    model: SavedModel | None = None
    busy: int = 0
    """Requests that use the model now."""
    file_stamp: int = 0
    """`_file_stamp` when the version was loaded."""


_DRAIN_SECONDS = 30.0
_REMEMBERED = 32

Loader = Callable[[Path], SavedModel]


class Versions:
    """The versions of one model.

    Parameters
    ----------
    name:
        The model's name in requests.
    base_path:
        Folder with one numbered folder for each version.
    load:
        Loads and warms up one version; raises `Refused`.
    poll_seconds:
        Interval of reading the folder; a new policy takes effect at once.
    """

    def __init__(
        self, name: str, base_path: Path, load: Loader, *, poll_seconds: float = 1.0
    ) -> None:
        self.name, self.base_path = name, base_path
        self._load = load
        self._poll_seconds = poll_seconds
        self._policy = Policy()
        self._entries: dict[int, Entry] = {}
        self._labels: dict[str, int] = {}
        self._changed = threading.Condition()
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._work, name="versions", daemon=True)

    # for requests ----------------------------------------------------------------------------

    @contextmanager
    def hold(self, version: int | None, label: str) -> Iterator[tuple[int, SavedModel]]:
        """The model of a version; it stays loaded until the block ends.

        Raises
        ------
        Refused
            NOT_FOUND for a version that is not AVAILABLE, INVALID_ARGUMENT for an unknown label.
        """
        with self._changed:
            entry = self._find(version, label)
            entry.busy += 1
            model = entry.model
        assert model is not None
        try:
            yield entry.version, model
        finally:
            with self._changed:
                entry.busy -= 1
                if entry.state is not State.AVAILABLE:
                    self._changed.notify_all()

    def _find(self, version: int | None, label: str) -> Entry:
        if label:
            version = self._labels.get(label)
            if version is None:
                raise invalid(f"Unrecognized servable version label: {label}")
        if version is not None:
            entry = self._entries.get(version)
            if entry is None or entry.state is not State.AVAILABLE:
                raise _missing(f"Specific({self.name}, {version})")
            return entry
        available = [e for e in self._entries.values() if e.state is State.AVAILABLE]
        if not available:
            raise _missing(f"Latest({self.name})")
        return max(available, key=lambda entry: entry.version)

    def status(self, version: int | None, label: str = "") -> list[Entry]:
        """The state of one version or of all, newest first, as TF Serving lists them.

        Raises
        ------
        Refused
            NOT_FOUND when there is none, INVALID_ARGUMENT for an unknown label.
        """
        with self._changed:
            if label:
                if label not in self._labels:
                    raise invalid(f"Unrecognized servable version label: {label}")
                version = self._labels[label]
            if version is None:
                entries = sorted(self._entries.values(), key=lambda entry: -entry.version)
                missing = f"Could not find any versions of model {self.name}"
            else:
                entries = [e for e in self._entries.values() if e.version == version]
                missing = f"Could not find version {version} of model {self.name}"
        if not entries:
            raise Refused(Code.NOT_FOUND, missing)
        return entries

    # for the owner ---------------------------------------------------------------------------

    def start(self, policy: Policy, *, wait_seconds: float) -> None:
        """Start loading; wait until the versions on disk have been loaded or have failed."""
        self.set_policy(policy)
        self._thread.start()
        deadline = time.monotonic() + wait_seconds
        with self._changed:
            self._changed.wait_for(self._settled, timeout=max(0.0, deadline - time.monotonic()))

    def _settled(self) -> bool:
        selected = self._policy.select(versions_on_disk(self.base_path))
        settled = (State.AVAILABLE, State.END)
        return all(v in self._entries and self._entries[v].state in settled for v in selected)

    def set_policy(self, policy: Policy) -> None:
        """Replace the policy; failed versions that it names are retried."""
        with self._changed:
            self._policy = policy
            for version in policy.specific:
                entry = self._entries.get(version)
                if entry is not None and entry.state is State.END:
                    entry.file_stamp = 0
        self._wake.set()

    def set_labels(self, labels: Mapping[str, int]) -> None:
        """Replace the labels.

        Raises
        ------
        Refused
            FAILED_PRECONDITION when a label names a version that is not AVAILABLE.
        """
        with self._changed:
            for version in labels.values():
                entry = self._entries.get(version)
                if entry is None or entry.state is not State.AVAILABLE:
                    raise Refused(
                        Code.FAILED_PRECONDITION,
                        f"Request to assign label to version {version} of model {self.name}, "
                        "which is not currently available for inference",
                    )
            self._labels = dict(labels)

    def stop(self) -> None:
        """Unload everything after the last requests."""
        self._stopping = True
        self._wake.set()
        self._thread.join(timeout=_DRAIN_SECONDS + 5)

    # the thread ------------------------------------------------------------------------------

    def _work(self) -> None:
        while not self._stopping:
            self._wake.clear()
            self._reconcile()
            self._wake.wait(self._poll_seconds)
        for entry in list(self._entries.values()):
            self._unload(entry)

    def _reconcile(self) -> None:
        """Load and unload versions until they match the policy; loads come first."""
        policy, on_disk = self._policy, versions_on_disk(self.base_path)
        selected = policy.select(on_disk)
        for version in selected:
            if self._stopping or self._policy is not policy:
                self._wake.set()
                return
            self._load_version(version, on_disk[version])
        ready = any(self._is(version, State.AVAILABLE) for version in selected)
        if ready or policy.unloads_all:
            for entry in list(self._entries.values()):
                if entry.version not in selected:
                    self._unload(entry)

    def _is(self, version: int, state: State) -> bool:
        entry = self._entries.get(version)
        return entry is not None and entry.state is state

    def _load_version(self, version: int, path: Path) -> None:
        stamp = _file_stamp(path)
        entry = self._entries.get(version)
        if entry is not None and (entry.state is not State.END or entry.file_stamp == stamp):
            return
        with self._changed:
            self._forget_oldest()
            entry = Entry(version=version, state=State.LOADING, file_stamp=stamp)
            self._entries[version] = entry
        log.info("version.loading", version=version, path=str(path))
        started = time.monotonic()
        try:
            model = self._load(path)
        except Refused as refused:
            self._mark_failed(entry, refused.code, refused.message)
            return
        except Exception as error:  # noqa: BLE001 - no model may end the loading thread
            self._mark_failed(entry, Code.INTERNAL, f"{type(error).__name__}: {error}")
            return
        with self._changed:
            entry.model, entry.state = model, State.AVAILABLE
            self._changed.notify_all()
        log.info(
            "version.available", version=version, load_seconds=round(time.monotonic() - started, 4)
        )

    def _unload(self, entry: Entry) -> None:
        with self._changed:
            if entry.state is not State.AVAILABLE:
                return
            entry.state = State.UNLOADING
            self._labels = {k: v for k, v in self._labels.items() if v != entry.version}
            drained = self._changed.wait_for(lambda: entry.busy == 0, timeout=_DRAIN_SECONDS)
            model, entry.model = entry.model, None
        if drained and model is not None:
            model.close()
        # A session with a stuck request is not freed: freeing it crashes the process.
        self._mark_ended(entry, Code.OK, "")
        log.info("version.unloaded", version=entry.version, drained=drained)

    def _mark_failed(self, entry: Entry, code: Code, message: str) -> None:
        self._mark_ended(entry, code, message)
        log.error(
            "version.load_failed", version=entry.version, code=code.name, reason=message[:1000]
        )

    def _mark_ended(self, entry: Entry, code: Code, message: str) -> None:
        with self._changed:
            entry.state, entry.code, entry.message = State.END, code, message
            if code is Code.OK:
                entry.file_stamp = 0
            self._changed.notify_all()

    def _forget_oldest(self) -> None:
        ended = [v for v, entry in self._entries.items() if entry.state is State.END]
        for version in ended[: max(0, len(ended) - _REMEMBERED)]:
            del self._entries[version]


def _missing(request: str) -> Refused:
    return Refused(Code.NOT_FOUND, f"Servable not found for request: {request}")


def _file_stamp(path: Path) -> int:
    """Modification time of the SavedModel's file in nanoseconds; -1 without a file."""
    for name in ("saved_model.pb", "saved_model.cpb"):
        try:
            return (path / name).stat().st_mtime_ns
        except FileNotFoundError:
            continue
    return -1
