"""AUC of a round's model on all rows that were held back from it, in a process of its own.

Both sides of the retrain comparison are scored here, on the same rows and by the same code, because
the evaluations of the sides read different rows: the worker evaluates a sample of the newest ones,
and TFX all of them. The process keeps the memory of the scoring out of the measured ones.

Exchanges JSON lines: a `ModelToScore` in, an AUC out.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import msgspec

from retrain.models.big_tipper.contract import CODE
from tests.bench.taxi_rounds import RoundFiles


class ModelToScore(msgspec.Struct, frozen=True, kw_only=True):
    """A model, and the round whose held-back rows it is scored on."""

    model: str
    """Folder of a SavedModel."""
    files: RoundFiles


def auc_of(model: Path, files: RoundFiles) -> float:
    """The AUC of `model` on the held-back rows of a round."""
    from retrain.engines.schema_rules import label_kinds
    from retrain.engines.tfx import evaluation, shard_evaluation
    from retrain.engines.tfx.csv_examples import write_csv_examples

    options = evaluation.EvaluationOptions(
        task=CODE.task, label=CODE.label, slices=(), entity="", seed=0
    )
    columns = [*CODE.features, *label_kinds(CODE)]
    with tempfile.TemporaryDirectory(prefix="driftline-scoring-") as folder:
        write_csv_examples(Path(files.csv) / "eval", Path(folder), columns, ("eval",))
        results = shard_evaluation.evaluate(Path(folder) / "Split-eval", model, None, options)
    return results[()]["auc"]


def main() -> None:
    """Models until the input ends."""
    out, sys.stdout = sys.stdout, sys.stderr  # TensorFlow prints
    for line in sys.stdin:
        item = msgspec.json.decode(line, type=ModelToScore)
        out.write(msgspec.json.encode(auc_of(Path(item.model), item.files)).decode() + "\n")
        out.flush()


if __name__ == "__main__":
    main()
