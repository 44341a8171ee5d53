"""The part that REST and gRPC share: find the model, run it, count the request."""

from __future__ import annotations

import time
from collections.abc import Sequence
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray

from serving.engines.modelserver.admission import Admission
from serving.engines.modelserver.codes import Code, Refused, invalid
from serving.engines.modelserver.config_files import METRICS_PATH
from serving.engines.modelserver.faults import Faults, inject_error
from serving.engines.modelserver.load_limit import limited
from serving.engines.modelserver.metrics import Metrics
from serving.engines.modelserver.models import Models
from serving.engines.modelserver.predict import Feeds
from serving.engines.modelserver.saved_model import SavedModel, TensorSpec
from serving.engines.modelserver.states import Hold
from serving.engines.modelserver.turns import ShortTurns
from serving.engines.modelserver.versions import Versions
from serving.engines.modelserver.warmup import warm_up

_MEASURED = ("Predict", "Classify", "Regress")
"""The APIs whose time in TensorFlow is measured (``RecordRuntimeLatency``)."""

_MAX_COUNTED_NAMES = 100
RUN_SECONDS = 30.0
"""Longest time of a request, TF Serving's default for REST; over gRPC a client may ask for less."""


def deadline_exceeded() -> Refused:
    """The refusal of a request that took too long, with the text of TensorFlow's session."""
    return Refused(Code.DEADLINE_EXCEEDED, "Timed out waiting for notification")


class Address(NamedTuple):
    """The requested model: a version, a label, or the newest version."""

    name: str
    version: int | None = None
    label: str = ""


class Held:
    """A model that stays loaded until the block ends; see `Service.hold`. Written as a class,
    because each request has one, and a generator costs more than the rest of it."""

    __slots__ = ("_hold", "_versions")

    def __init__(self, versions: Versions, hold: Hold) -> None:
        self._versions, self._hold = versions, hold

    def __enter__(self) -> tuple[int, SavedModel]:
        return self._hold.version, self._hold.loaded.model

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        until = self._hold.until
        self._versions.give_back(self._hold)
        cancelled = isinstance(error, Refused) and error.code is Code.CANCELLED
        if cancelled and time.monotonic() > until:
            raise deadline_exceeded() from error


class Service:
    """The models with their versions, metrics and injected faults.

    Parameters
    ----------
    faults:
        Faults to inject.
    admission:
        Which versions are loaded.
    poll_seconds:
        Interval of reading the models' folders.
    run_seconds:
        Longest time of a request.
    metrics_path:
        Path of the metrics page; None for no page.
    warm:
        Whether versions are warmed up before they are AVAILABLE.
    allow_unavailable_labels:
        Whether a new label may name a version that is not loaded.
    """

    def __init__(
        self,
        *,
        faults: Faults,
        admission: Admission | None = None,
        poll_seconds: float = 1.0,
        run_seconds: float = RUN_SECONDS,
        metrics_path: str | None = METRICS_PATH,
        warm: bool = True,
        allow_unavailable_labels: bool = False,
    ) -> None:
        self.run_seconds = run_seconds
        self.faults = faults
        self.metrics_path = metrics_path
        self.metrics = Metrics()
        self.models = Models(
            self._load,
            poll_seconds=poll_seconds,
            allow_unavailable_labels=allow_unavailable_labels,
        )
        self._admission = admission or Admission()
        self._warms = warm
        self._counted_names: set[str] = set()

    def hold(self, address: Address, *, seconds: float = inf) -> Held:
        """The version and the model at an address, as a context manager; the model stays loaded
        until the block ends.

        Raises
        ------
        Refused
            NOT_FOUND or INVALID_ARGUMENT with TF Serving's text; at the end of the block
            DEADLINE_EXCEEDED when a run was cancelled because it took longer than `seconds`, at
            most `run_seconds`.
        """
        versions = self._versions(address)
        taken = versions.take(
            address.version, address.label, seconds=min(seconds, self.run_seconds)
        )
        return Held(versions, taken)

    def _versions(self, address: Address) -> Versions:
        """The addressed model; INVALID_ARGUMENT without a name, NOT_FOUND for an unknown one."""
        name, version, label = address
        if not name:
            raise invalid("ModelSpec has no name specified.")
        versions = self.models.find(name)
        if versions is not None:
            return versions
        if label:
            raise invalid(f"Unrecognized servable version label: {label}")
        servable = f"Latest({name})" if version is None else f"Specific({name}, {version})"
        raise Refused(Code.NOT_FOUND, f"Servable not found for request: {servable}")

    def compute(
        self, model: SavedModel, api: str, feeds: Feeds, fetches: Sequence[TensorSpec]
    ) -> list[NDArray[Any]]:
        """Compute tensors and measure it; a `serving.engines.modelserver.predict.Compute`."""
        inject_error(self.faults.now())
        started = time.perf_counter_ns()
        result = model.compute(feeds, fetches)
        elapsed = (time.perf_counter_ns() - started) / 1000
        if api in _MEASURED:
            self.metrics.runtime_latency.observe((model.name, api, "TF1"), elapsed)
        return result

    def count_request(
        self, *, model: str, started_ns: int, api: str, entrypoint: str, code: Code
    ) -> None:
        """Count one request; only successful ones have a latency, as in TF Serving."""
        model = self._counted_name(model)
        self.metrics.request_count.add((model, code.name))
        if code is Code.OK:
            elapsed = (time.perf_counter_ns() - started_ns) / 1000
            self.metrics.request_latency.observe((model, api, entrypoint), elapsed)

    def _counted_name(self, name: str) -> str:
        """The name itself, as in TF Serving; of unknown models only the first, to bound memory."""
        if self.models.find(name) is None and name not in self._counted_names:
            if len(self._counted_names) >= _MAX_COUNTED_NAMES:
                return "other"
            self._counted_names.add(name)
        return name

    def _load(self, name: str, path: Path) -> SavedModel:
        started = time.perf_counter()
        try:
            delay = self.faults.now().load_ms
            if delay > 0:
                time.sleep(delay / 1000)
            with ShortTurns():
                model = self._admission.load(path, lambda folder: SavedModel(folder, name))
        except Refused:
            self.metrics.load_attempts.add((str(path), "fail"))
            raise
        self.metrics.load_attempts.add((str(path), "success"))
        self.metrics.load_latency.add((str(path),), (time.perf_counter() - started) * 1e6)
        if self._warms:
            self._warm(model)
        return model

    def _warm(self, model: SavedModel) -> None:
        started, status = time.perf_counter(), Code.OK
        try:
            with ShortTurns(), limited(model):
                warm_up(model)
        except BaseException as error:  # whatever it is, the session may not stay
            status = error.code if isinstance(error, Refused) else Code.INTERNAL
            model.close()
            raise
        finally:
            elapsed = (time.perf_counter() - started) * 1e6
            self.metrics.warmup_latency.observe((str(model.path), status.name), elapsed)
