"""Which schema a retrain is held against: the version in force when the attempt begins.

The stream job takes its versions from the same topic, so a version's data and the windows that are
compared with it were held against the same text; the version's record says which.
"""

from __future__ import annotations

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
class UsedSchema:
    """The schema of one attempt."""

    path: Path | None
    """The text as a file; None when the model has no schema."""
    version: int = 0
    """0: the file beside the model's code, before any version was published."""
    digest: str = ""
    record_id: str = ""
    """Of the version; empty for the file."""


def in_force(log: RecordLog, model: str) -> SchemaVersion | None:
    """The newest version on the log; None while there is none."""
    newest: SchemaVersion | None = None
    for span in log.spans(SCHEMA_VERSIONS.name):
        for message in log.read(span):
            record = record_in(message.value)
            if not isinstance(record, SchemaVersion) or record.model != model:
                continue
            if newest is None or record.version > newest.version:
                newest = record
    return newest


def lay_out(log: RecordLog, contract: ModelContract, folder: Path) -> UsedSchema:
    """Write the schema in force into `folder`.

    Raises
    ------
    TrainingFailed
        When the version's text is not the one of its digest.
    """
    version = in_force(log, contract.model)
    if version is None:
        if not contract.schema_path:
            return UsedSchema(path=None)
        path = Path(contract.schema_path)
        return UsedSchema(path=path, digest=digest(path.read_bytes()))
    found = digest(version.text.encode())
    if found != version.digest:
        raise TrainingFailed(
            f"Schema version {version.version} has digest {found[:12]}…, its record says "
            f"{version.digest[:12]}….",
            component="Schema",
            advice="It was changed after it was accepted; accept a new version.",
        )
    path = folder / "schema.pbtxt"
    path.write_text(version.text)
    return UsedSchema(path=path, version=version.version, digest=found, record_id=version.record_id)
