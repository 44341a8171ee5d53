"""Loads and unloads versions in the background while requests go on.

One thread reconciles the loaded versions with the policy. An old version is unloaded only when a
requested one is AVAILABLE (unless none is requested), and is freed after its last request. A
version that failed to load is retried when its files change or a new policy names it, so that a
version that was found half-copied is loaded once it is whole.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from math import inf
from pathlib import Path

from serving.engines.modelserver.codes import Code, Refused, invalid
from serving.engines.modelserver.log import log
from serving.engines.modelserver.policy import Policy, versions_on_disk
from serving.engines.modelserver.priority import version_is_available, version_is_unloaded
from serving.engines.modelserver.saved_model import SavedModel
from serving.engines.modelserver.states import Entry, Hold, Loaded, State
from serving.engines.modelserver.version_files import QUIET_SECONDS, is_at_rest, stamp_of

_DRAIN_SECONDS = 30.0
_CANCEL_SECONDS = 5.0
"""How long cancelled runs may take to notice it, and quick ones to end before."""
_REMEMBERED = 32
_SOON_SECONDS = 0.1
"""When files that still change are looked at again."""

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
        Interval of reading the folder; 0 reads it only when the policy changes, which takes effect
        at once in any case.
    quiet_seconds:
        How long the files of a version without a manifest must not have changed.
    """

    def __init__(
        self,
        name: str,
        base_path: Path,
        load: Loader,
        *,
        poll_seconds: float = 1.0,
        quiet_seconds: float = QUIET_SECONDS,
    ) -> None:
        self.name, self.base_path = name, base_path
        self._load = load
        self._poll_seconds, self._quiet_seconds = poll_seconds, quiet_seconds
        self._look_soon = False
        self._policy = Policy()
        self._entries: dict[int, Entry] = {}
        self._labels: dict[str, int] = {}
        self._changed = threading.Condition()
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._work, name="versions", daemon=True)

    # for requests ----------------------------------------------------------------------------

    @contextmanager
    def hold(
        self, version: int | None, label: str, *, seconds: float = inf
    ) -> Iterator[tuple[int, SavedModel]]:
        """The model of a version; it stays loaded until the block ends. See `take`."""
        hold = self.take(version, label, seconds=seconds)
        try:
            yield hold.version, hold.loaded.model
        finally:
            self.give_back(hold)

    def take(self, version: int | None, label: str, *, seconds: float = inf) -> Hold:
        """Keep the model of a version loaded until `give_back`.

        A run that lasts longer than `seconds` is cancelled: the version is loaded once more for
        all other requests, and the session of the run is closed.

        Raises
        ------
        Refused
            NOT_FOUND for a version that is not AVAILABLE, INVALID_ARGUMENT for an unknown label.
        """
        until = time.monotonic() + seconds
        with self._changed:
            entry = self._find(version, label)
            loaded = entry.loaded
            assert loaded is not None
            hold = Hold(entry.version, loaded, until)
            loaded.holds.add(hold)
        return hold

    def give_back(self, hold: Hold) -> None:
        """The request has ended."""
        with self._changed:
            hold.loaded.holds.discard(hold)
            if hold.loaded.retired:
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
                entries = self.entries()
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
        self.wait(wait_seconds)

    def wait(self, seconds: float) -> bool:
        """Wait until every selected version on disk was loaded or failed; whether that is so."""
        with self._changed:
            return self._changed.wait_for(self._settled, timeout=max(0.0, seconds))

    def _settled(self) -> bool:
        selected = self._policy.select(versions_on_disk(self.base_path))
        return all(v in self._entries and self._entries[v].is_settled for v in selected)

    def set_policy(
        self, policy: Policy, *, base_path: Path | None = None, retry: bool = True
    ) -> None:
        """Replace the policy, and the folder; with `retry`, failed versions it names are retried.

        A loaded version stays loaded when another folder has one of the same number.
        """
        with self._changed:
            self._policy = policy
            self.base_path = base_path or self.base_path
            for version in policy.specific if retry else ():
                entry = self._entries.get(version)
                if entry is not None and entry.state is State.END:
                    entry.file_stamp = 0
        self._wake.set()

    def check_labels(self, labels: Mapping[str, int], *, allow_unavailable: bool = False) -> None:
        """Refuse labels as TF Serving does (``UpdateModelVersionLabelMap`` in ``server_core.cc``).

        With `allow_unavailable`, a label that is new or stays may name any version.

        Raises
        ------
        Refused
            FAILED_PRECONDITION when a label names a version that is not AVAILABLE.
        """
        with self._changed:
            for label, version in labels.items():
                if allow_unavailable and self._labels.get(label, version) == version:
                    continue
                if not self._is(version, State.AVAILABLE):
                    raise Refused(
                        Code.FAILED_PRECONDITION,
                        f"Request to assign label to version {version} of model {self.name}, "
                        "which is not currently available for inference",
                    )

    def set_labels(self, labels: Mapping[str, int]) -> None:
        """Replace the labels; they stay when their version is unloaded."""
        with self._changed:
            self._labels = dict(labels)

    def entries(self) -> list[Entry]:
        """The state of every version that was seen, newest first."""
        return sorted(self._entries.copy().values(), key=lambda entry: -entry.version)

    def request_stop(self) -> None:
        """Begin to unload everything; `stop` waits for it."""
        self._stopping = True
        self._wake.set()

    def stop(self) -> None:
        """Unload everything after the last requests."""
        self.request_stop()
        self._thread.join(timeout=_DRAIN_SECONDS + 5)

    # the thread ------------------------------------------------------------------------------

    def _work(self) -> None:
        while not self._stopping:
            self._wake.clear()
            self._look_soon = False
            try:
                self._cancel_overdue()
                self._reconcile()
            except Exception as error:  # noqa: BLE001 - nothing on the disk may end this thread
                log.error(
                    "versions.not_reconciled",
                    model=self.name,
                    error=f"{type(error).__name__}: {error}",
                )
            self._wake.wait(_SOON_SECONDS if self._look_soon else self._poll_seconds or None)
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
        entry = self._entries.get(version)
        if entry is not None and entry.state is not State.END:
            return
        stamp = stamp_of(path)
        if entry is not None and entry.file_stamp == stamp.value:
            return
        if not is_at_rest(path, stamp, self._quiet_seconds):
            self._look_soon = True
            return
        with self._changed:
            self._forget_oldest()
            entry = Entry(version=version, state=State.LOADING, file_stamp=stamp.value)
            self._entries[version] = entry
        log.info("version.loading", model=self.name, version=version, path=str(path))
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
            entry.loaded, entry.state = Loaded(model), State.AVAILABLE
            self._changed.notify_all()
        version_is_available()
        log.info(
            "version.available",
            model=self.name,
            version=version,
            load_seconds=round(time.monotonic() - started, 4),
        )

    def _unload(self, entry: Entry) -> None:
        with self._changed:
            if entry.state is not State.AVAILABLE:
                return
            entry.state = State.UNLOADING
            loaded, entry.loaded = entry.loaded, None
        version_is_unloaded()
        drained = loaded is None or self._retire(loaded, _DRAIN_SECONDS)
        self._mark_ended(entry, Code.OK, "")
        log.info("version.unloaded", model=self.name, version=entry.version, drained=drained)

    def _retire(self, loaded: Loaded, drain_seconds: float) -> bool:
        """Free a model after its requests; those that do not end are cancelled."""
        with self._changed:
            loaded.retired = True
            self._changed.wait_for(
                lambda: len(loaded.holds) == len(loaded.overdue()), timeout=drain_seconds
            )
            cancelled = bool(loaded.holds)
        if cancelled:
            loaded.model.cancel()
        with self._changed:
            drained = self._changed.wait_for(lambda: not loaded.holds, timeout=_CANCEL_SECONDS)
        if drained:
            loaded.model.close()
        # A session with a stuck request is not freed: freeing it crashes the process.
        return drained

    def _cancel_overdue(self) -> None:
        """Load versions with runs that do not end once more, and close the sessions of the runs."""
        for entry in list(self._entries.values()):
            with self._changed:
                old = entry.loaded
                overdue = [] if old is None else old.overdue()
            if old is None or not overdue:
                continue
            log.warning("runs.overdue", model=self.name, version=entry.version, runs=len(overdue))
            try:
                fresh = Loaded(self._load(old.model.path))
            except Refused as refused:
                log.error("version.not_reloaded", version=entry.version, reason=refused.message)
                for hold in overdue:  # not again at once: nothing else can serve the version
                    hold.until += _DRAIN_SECONDS
                continue
            with self._changed:
                entry.loaded = fresh
            self._retire(old, _CANCEL_SECONDS)

    def _mark_failed(self, entry: Entry, code: Code, message: str) -> None:
        self._mark_ended(entry, code, message)
        log.error(
            "version.load_failed",
            model=self.name,
            version=entry.version,
            code=code.name,
            reason=message[:1000],
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
