"""The models of the server, and the changes of their configuration.

A change is accepted or refused as a whole: names, paths, platforms and labels are checked before
anything is changed. (TF Serving sets the labels before it checks the platforms.)
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from serving.engines.modelserver.codes import Code, Refused
from serving.engines.modelserver.log import log
from serving.engines.modelserver.model_config import ModelSettings, check_platforms, read_config
from serving.engines.modelserver.policy import Policy
from serving.engines.modelserver.saved_model import SavedModel
from serving.engines.modelserver.states import State
from serving.engines.modelserver.version_files import QUIET_SECONDS
from serving.engines.modelserver.versions import Versions

NamedLoader = Callable[[str, Path], SavedModel]
"""Loads and warms up one version of the named model; raises `Refused`."""


class Models:
    """Every model with its versions.

    Parameters
    ----------
    load:
        Loads one version.
    poll_seconds:
        Interval of reading the models' folders.
    quiet_seconds:
        As for `Versions`.
    allow_unavailable_labels:
        TF Serving's ``--allow_version_labels_for_unavailable_models``.
    """

    def __init__(
        self,
        load: NamedLoader,
        *,
        poll_seconds: float = 1.0,
        quiet_seconds: float = QUIET_SECONDS,
        allow_unavailable_labels: bool = False,
    ) -> None:
        self._load = load
        self._poll_seconds, self._quiet_seconds = poll_seconds, quiet_seconds
        self._allow_unavailable_labels = allow_unavailable_labels
        self._versions: dict[str, Versions] = {}
        self._settings: dict[str, ModelSettings] | None = None
        self._reloading = threading.Lock()

    def find(self, name: str) -> Versions | None:
        """The versions of a model, also of one that is not configured any more; None if unknown."""
        return self._versions.get(name)

    @property
    def names(self) -> tuple[str, ...]:
        """The configured models."""
        return tuple(self._settings or ())

    def reload(
        self,
        config: Any,
        *,
        policies: Mapping[str, Policy] | None = None,
        retry: bool = True,
        wait_seconds: float = 0.0,
    ) -> bool:
        """Take over a ``ModelServerConfig``; whether its new models were loaded within the time.

        Parameters
        ----------
        config:
            The message.
        policies:
            Policies by model, instead of those of the message.
        retry:
            Whether failed versions that a policy names are loaded again.
        wait_seconds:
            How long to wait for models that are new.

        Raises
        ------
        Refused
            With TF Serving's code and text. Nothing was changed, except for UNKNOWN: no version of
            a new model could be loaded.
        """
        with self._reloading:
            models = read_config(config, self._settings)
            if models is None:
                return True
            for model in models:
                self._check_labels(model)
            check_platforms(config)
            new = [model.name for model in models if model.name not in (self._settings or {})]
            for name in (self._settings or {}).keys() - {model.name for model in models}:
                self._versions[name].set_labels({})
                self._versions[name].set_policy(Policy())
            for model in models:
                self._apply(model, (policies or {}).get(model.name, model.policy), retry=retry)
            self._settings = {model.name: model for model in models}
        log.info("config.applied", models=[model.name for model in models])
        return self._wait(new, wait_seconds)

    def stop(self) -> None:
        """Unload everything after the last requests."""
        versions = list(self._versions.values())
        for one_model in versions:
            one_model.request_stop()
        for one_model in versions:
            one_model.stop()

    def _check_labels(self, model: ModelSettings) -> None:
        versions = self._versions.get(model.name) or self._new(model)
        versions.check_labels(model.labels, allow_unavailable=self._allow_unavailable_labels)

    def _new(self, model: ModelSettings) -> Versions:
        def load(path: Path) -> SavedModel:
            return self._load(model.name, path)

        return Versions(
            model.name,
            model.base_path,
            load,
            poll_seconds=self._poll_seconds,
            quiet_seconds=self._quiet_seconds,
        )

    def _apply(self, model: ModelSettings, policy: Policy, *, retry: bool) -> None:
        versions = self._versions.get(model.name)
        if versions is None:
            versions = self._new(model)
            versions.set_labels(model.labels)
            versions.start(policy, wait_seconds=0)
            self._versions[model.name] = versions
        else:
            versions.set_labels(model.labels)
            versions.set_policy(policy, base_path=model.base_path, retry=retry)

    def _wait(self, names: list[str], seconds: float) -> bool:
        """Wait for new models (``WaitUntilModelsAvailable``)."""
        deadline = time.monotonic() + seconds
        settled = True
        failed: list[str] = []
        for name in names:
            versions = self._versions[name]
            settled &= versions.wait(deadline - time.monotonic()) if seconds > 0 else True
            entries = versions.entries()
            errors = [entry for entry in entries if entry.code is not Code.OK]
            if errors and not any(entry.state is State.AVAILABLE for entry in entries):
                newest = errors[0]
                reason = f" due to error: {newest.code.name}: {newest.message}"
                failed.append(f"{{{{name: {name} version: {newest.version}}}{reason}}}, ")
        if failed and seconds > 0:
            text = f"{len(failed)} model(s) did not become available: {{{''.join(failed)}}}"
            raise Refused(Code.UNKNOWN, text)
        return settled
