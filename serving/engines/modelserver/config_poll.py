"""Reads the model configuration again and again (``--model_config_file_poll_wait_seconds``)."""

from __future__ import annotations

import threading
from pathlib import Path

from serving.engines.modelserver.codes import Refused
from serving.engines.modelserver.config_files import read_models
from serving.engines.modelserver.log import log
from serving.engines.modelserver.models import Models


class ConfigPoll:
    """Applies the file at every look, as TF Serving does (``PollFilesystemAndReloadConfig``).

    A label can therefore be in the file before its version is loaded: the look after the load sets
    it. A file that cannot be read, or is refused, changes nothing and is logged once.
    """

    def __init__(self, file: Path, models: Models, *, seconds: float) -> None:
        self._file, self._models, self._seconds = file, models, seconds
        self._stopping = threading.Event()
        self._last_reason = ""
        self._thread = threading.Thread(target=self._work, name="config", daemon=True)

    def start(self) -> None:
        """Start looking."""
        self._thread.start()

    def stop(self) -> None:
        """End; a reload that is going on is not waited for."""
        self._stopping.set()

    def _work(self) -> None:
        while not self._stopping.wait(self._seconds):
            try:
                self._models.reload(read_models(self._file), retry=False)
                reason = ""
            except Refused as refused:
                reason = refused.message
            except Exception as error:  # noqa: BLE001 - no file may end this thread
                reason = f"{type(error).__name__}: {error}"
            if reason and reason != self._last_reason:
                log.error("config.not_applied", file=str(self._file), reason=reason)
            self._last_reason = reason
