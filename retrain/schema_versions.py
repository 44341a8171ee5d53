"""The schema that a retrain is validated against: the active version when the attempt begins.

The stream job reads its versions from the same topic, so a model version's training data and the
windows compared with it are validated against the same text. The model version's record names it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from retrain.ports import TrainingFailed
from streaming.contracts.codec import record_in
from streaming.contracts.ids import digest
from streaming.contracts.log import RecordLog
from streaming.contracts.model import ModelContract
from streaming.contracts.records import SchemaVersion
from streaming.contracts.topics import SCHEMA_VERSIONS


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSchema:
    """The schema of one training attempt."""

    path: Path | None
    """File with the text; None when the model has no schema."""
    version: int = 0
    """Number of the version; 0 = the file beside the model's code, while none is published."""
    digest: str = ""
    """SHA-256 of the text."""
    record_id: str = ""
    """record_id of the version; empty for the file."""


def active_schema(log: RecordLog, model: str, *, until: float = math.inf) -> SchemaVersion | None:
    """The newest schema version that the log had at a time; None while there was none."""
    newest: SchemaVersion | None = None
    for span in log.spans(SCHEMA_VERSIONS.name):
        for message in log.read(span):
            record = record_in(message.value)
            if not isinstance(record, SchemaVersion) or record.model != model:
                continue
            if record.at > until:
                continue
            if newest is None or record.version > newest.version:
                newest = record
    return newest


def write_active_schema(
    log: RecordLog, contract: ModelContract, folder: Path, *, until: float = math.inf
) -> TrainingSchema:
    """Write the active schema, or that of a time, into `folder`.

    Raises
    ------
    TrainingFailed
        When the version's text does not match its digest.
    """
    version = active_schema(log, contract.model, until=until)
    if version is None:
        if not contract.schema_path:
            return TrainingSchema(path=None)
        path = Path(contract.schema_path)
        return TrainingSchema(path=path, digest=digest(path.read_bytes()))
    actual = digest(version.text.encode())
    if actual != version.digest:
        raise TrainingFailed(
            f"The text of schema version {version.version} has digest {actual[:12]}…, but its "
            f"record has {version.digest[:12]}….",
            component="Schema",
            advice="The text was changed after it was accepted. Accept a new version.",
        )
    path = folder / "schema.pbtxt"
    path.write_text(version.text)
    return TrainingSchema(
        path=path, version=version.version, digest=actual, record_id=version.record_id
    )
