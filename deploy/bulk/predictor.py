"""Predictions of a published version, by the library that the embedded model server uses.

So a bulk prediction is the number that the server would answer. No server is needed, and none is
disturbed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.engines.modelserver.codes import Refused
from serving.engines.modelserver.graph_check import check_graph
from serving.engines.modelserver.saved_model import SavedModel
from serving.engines.modelserver.version_files import check_files
from streaming.contracts.errors import PermanentError
from streaming.contracts.requests import OUTPUTS
from streaming.contracts.task import Task

SIGNATURE = "serving_default"


class Predictor:
    """One loaded version.

    Parameters
    ----------
    folder:
        The version's SavedModel.
    task:
        What it predicts.
    also_allowed:
        Operations that the deployment allows besides the usual ones.

    Raises
    ------
    PermanentError
        When it cannot be loaded or has no `SIGNATURE`.
    """

    def __init__(self, folder: Path, task: Task, also_allowed: Sequence[str] = ()) -> None:
        self._output = OUTPUTS[task.kind]
        try:
            check_files(folder)
            check_graph(folder, also_allowed=also_allowed)
            self._model = SavedModel(folder)
        except Refused as error:
            raise PermanentError(f"{folder} cannot be loaded: {error.message}") from error
        if SIGNATURE not in self._model.signatures:
            self._model.close()
            raise PermanentError(f"{folder} has no signature {SIGNATURE}; it cannot be asked.")
        self._signature = self._model.signatures[SIGNATURE]

    def predict(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
        """Numbers of the rows, [rows, width].

        Raises
        ------
        PermanentError
            When the model refuses the inputs.
        """
        try:
            answer = self._model.run(self._signature, inputs, [self._output])
        except (Refused, KeyError) as error:
            message = error.message if isinstance(error, Refused) else f"no input or output {error}"
            raise PermanentError(
                f"The version cannot predict: {message[:300]}. Its inputs may be those of an older"
                " contract; name another one with --version."
            ) from error
        values = np.asarray(answer[self._output], np.float64)
        return values.reshape(len(values), -1)

    def __enter__(self) -> Predictor:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._model.close()
