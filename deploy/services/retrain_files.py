"""The files of retrains in the state and the artifact store, and what points to them.

The log says what is in force. Where it cannot be read nothing is removed. References, schemas and
window statistics, which promotions name, are no files of retrains and are not looked at.
"""

from __future__ import annotations

import shutil
import stat
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from deploy.config.units import format_megabytes
from deploy.records import reader
from deploy.runs.places import metadata_place, run_files
from deploy.services.versions_in_use import VersionsInUse, versions_in_use
from retrain.clean_up import CleanUp, CleanUpRules, FileKind, KeptFiles, plan_clean_up, size_by_kind
from streaming.contracts.errors import DecodeError, DriftlineError, NotFoundError
from streaming.contracts.log import RecordLog
from streaming.contracts.records import ModelVersion, RetrainFailure, RetrainRequest

if TYPE_CHECKING:
    from deploy.app.deployment import Deployment

log = structlog.get_logger()

_LOGS = "ModelRun"
"""Type of the artifact with TensorBoard's logs."""


def retrain_files(deployment: Deployment, records: RecordLog) -> list[KeptFiles]:
    """Every file of retrains, with what holds it.

    Raises
    ------
    TemporaryError
        When the log cannot be read.
    """
    requests = _open_requests(records)
    runs_held = dict.fromkeys(requests, "its request is open")
    entries: list[KeptFiles | None] = []
    for folder in _folders(deployment.artifact_root / "models"):
        held = versions_in_use(deployment, records, folder.name, requests.values())
        entries += _files_of_versions(deployment, folder, held, runs_held)
    entries += _files_of_runs(run_files(deployment).root, runs_held)
    entries += _files_of_attempts(deployment.home, requests)
    for folder in _folders(deployment.home / "pipelines"):
        entries += [
            _of("pipeline", folder.name, str(path.relative_to(folder)), path)
            for path in sorted(folder.glob("*/*/*"))
            if path.is_dir() and not path.is_symlink()
        ]
    return [files for files in entries if files is not None]


def remove(deployment: Deployment, plan: CleanUp) -> int:
    """Delete what the plan says, and mark it in ML Metadata as deleted.

    Returns the bytes of what is gone; what cannot be deleted stays and is logged.

    Raises
    ------
    TemporaryError
        When ML Metadata cannot be used; the files are gone then.
    """
    from retrain.engines.model_store import FolderStore

    store, freed = FolderStore(deployment.artifact_root / "models"), 0
    for files in (removal.files for removal in plan.removed):
        if files.kind == "version":
            store.remove(files.model, int(files.name))
        else:
            shutil.rmtree(files.path, ignore_errors=True)
        if Path(files.path).exists():
            log.warning("clean_up.stays", path=files.path, reason="it cannot be deleted")
        else:
            freed += files.size
    if plan.removed:
        _mark_removed(deployment)
    return freed


def what_can_be_freed(deployment: Deployment) -> str:
    """One sentence on what `driftline prune` would free now; empty when that cannot be said."""
    try:
        with deployment.log() as records:
            files = retrain_files(deployment, records)
    except (DriftlineError, OSError):  # it is said beside a failure that matters more
        return ""
    plan = plan_clean_up(files, clean_up_rules(deployment), time.time())
    by_age = [removal.files for removal in plan.removed]
    everything = plan_clean_up(files, CleanUpRules(keep_seconds=0.0, keep_versions=1), time.time())
    kinds = ", ".join(
        f"{kind} {format_megabytes(size)}"
        for kind, size in size_by_kind([r.files for r in everything.removed]).items()
    )
    return (
        f"`driftline prune` frees {format_megabytes(sum(each.size for each in by_age))}; at most"
        f" {format_megabytes(everything.freed)} can go ({kinds or 'nothing'})."
    )


def clean_up_rules(deployment: Deployment) -> CleanUpRules:
    """The rules of the settings."""
    section = deployment.settings.retrain
    return CleanUpRules(
        keep_seconds=section.keep_files,
        keep_versions=section.keep_versions,
        max_bytes=section.max_size,
    )


def _open_requests(records: RecordLog) -> dict[str, RetrainRequest]:
    """The requests without an outcome, by their id."""
    ended = {failure.request_id for failure in reader.stream(records, RetrainFailure)}
    ended |= {version.request_id for version in reader.stream(records, ModelVersion)}
    requests = {r.record_id: r for r in reader.stream(records, RetrainRequest)}
    return {name: request for name, request in requests.items() if name not in ended}


def _files_of_versions(
    deployment: Deployment, folder: Path, held: VersionsInUse, runs_held: dict[str, str]
) -> Iterator[KeptFiles | None]:
    """The versions of a model; the runs of those that are held are added to `runs_held`."""
    from retrain.engines.model_store import FolderStore

    store, model = FolderStore(folder.parent), folder.name
    for number in store.versions(model):
        reason = held.reasons.get(number, "")
        try:
            record = store.record(model, number)
        except DecodeError:
            reason = reason or "its record is damaged, so nobody can say whether it is needed"
        except (NotFoundError, FileNotFoundError):  # removed since it was listed
            continue
        else:
            if number > held.live and record.blessed:
                reason = reason or f"version {number} is newer than the live one and blessed"
            if reason:
                runs_held[record.request_id] = reason
        yield _of("version", model, str(number), folder / str(number), reason)
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") and path.is_dir():
            yield _of("leftover", model, path.name, path)


def _files_of_runs(root: Path, held: Mapping[str, str]) -> Iterator[KeptFiles | None]:
    for folder in _folders(root):
        runs = sorted(_folders(folder), key=lambda run: run.stat().st_mtime)
        for run in runs:
            reason = held.get(run.name, "")
            if run == runs[-1]:
                reason = reason or "it is the model's newest run"
            kinds: tuple[tuple[FileKind, str], ...] = (("examples", "Examples"), ("logs", _LOGS))
            parts = {path: kind for kind, name in kinds for path in run.glob(f"*/{name}*")}
            for path, kind in parts.items():
                yield _of(kind, folder.name, f"{run.name}/{path.name}", path, reason, at_of=run)
            yield _of("run", folder.name, run.name, run, reason, without=tuple(parts))


def _files_of_attempts(
    home: Path, held: Mapping[str, RetrainRequest]
) -> Iterator[KeptFiles | None]:
    for name in ("scratch", "training"):
        for folder in _folders(home / name):
            request_id = folder.name.split("-")[0]
            request = held.get(request_id) or held.get(folder.name)
            reason = "" if request is None else "its request is open"
            model = "" if request is None else request.model
            yield _of("attempt", model, f"{name}/{folder.name}", folder, reason)


def _of(
    kind: FileKind,
    model: str,
    name: str,
    path: Path,
    held_by: str = "",
    *,
    at_of: Path | None = None,
    without: tuple[Path, ...] = (),
) -> KeptFiles | None:
    """The entry of a file or folder; None when it has gone since it was listed."""
    try:
        size, at = _size(path, without)
        changed = at_of.stat().st_mtime if at_of is not None else at
    except FileNotFoundError:
        return None
    return KeptFiles(
        kind=kind,
        model=model,
        name=name,
        path=str(path),
        size=size,
        at=changed,
        held_by=held_by,
    )


def _size(path: Path, without: tuple[Path, ...]) -> tuple[int, float]:
    """Bytes below a path, each shared file in parts, and its last change.

    A process may be at work in the folder: files that vanish meanwhile are passed over.
    """
    size, at = 0, path.stat().st_mtime
    for file in path.rglob("*"):
        if any(file.is_relative_to(part) for part in without):
            continue
        try:
            status = file.lstat()
        except FileNotFoundError:
            continue
        at = max(at, status.st_mtime)
        if stat.S_ISREG(status.st_mode):
            size += status.st_size // max(status.st_nlink, 1)
    return size, at


def _folders(root: Path) -> list[Path]:
    if not root.is_dir():
        return []
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.is_symlink())


def _mark_removed(deployment: Deployment) -> None:
    place = metadata_place(deployment)
    if isinstance(place, Path) and not place.is_file():
        return
    from retrain.engines.mlmd.attempts import mark_removed
    from retrain.engines.mlmd.connection import open_store, reached
    from retrain.engines.mlmd.graph import Graph

    graph = Graph(open_store(place))
    reached(place, lambda: mark_removed(graph, graph.store.get_artifacts()))
