"""The files of retrains in the state and the artifact store, and what points to them.

The log says what is in force. Where it cannot be read nothing is removed. References, schemas and
window statistics, which promotions name, are no files of retrains and are not looked at.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.config.units import format_megabytes
from deploy.records import reader
from deploy.runs.places import metadata_place, run_files
from retrain.clean_up import CleanUp, CleanUpRules, FileKind, KeptFiles, plan_clean_up, size_by_kind
from streaming.contracts.errors import DriftlineError
from streaming.contracts.log import RecordLog
from streaming.contracts.records import (
    ExperimentStatus,
    ModelVersion,
    Promotion,
    RetrainFailure,
    RetrainRequest,
    RolloutStatus,
)

if TYPE_CHECKING:
    from deploy.app.deployment import Deployment

_LOGS = "ModelRun"
"""Type of the artifact with TensorBoard's logs."""


def retrain_files(deployment: Deployment, log: RecordLog) -> list[KeptFiles]:
    """Every file of retrains, with what holds it.

    Raises
    ------
    TemporaryError
        When the log cannot be read.
    """
    from retrain.engines.model_store import FolderStore

    open_requests = _open_requests(log)
    store = FolderStore(deployment.artifact_root / "models")
    files, runs_held = [], dict.fromkeys(open_requests, "its request is open")
    for folder in _folders(deployment.artifact_root / "models"):
        model = folder.name
        held = versions_in_use(deployment, log, model, open_requests.values())
        for number in store.versions(model):
            record = store.record(model, number)
            reason = held.reasons.get(number, "")
            if number > held.live and record.blessed:
                reason = reason or f"version {number} is newer than the live one and blessed"
            if reason:
                runs_held[record.request_id] = reason
            files.append(_of("version", model, str(number), store.path(model, number), reason))
        files += [
            _of("leftover", model, path.name, path)
            for path in folder.iterdir()
            if path.name.startswith(".") and path.is_dir()
        ]
    files += _files_of_runs(run_files(deployment).root, runs_held)
    files += _files_of_attempts(deployment.home, open_requests)
    for folder in _folders(deployment.home / "pipelines"):
        files += [
            _of("pipeline", folder.name, str(path.relative_to(folder)), path)
            for path in sorted(folder.glob("*/*/*"))
            if path.is_dir() and not path.is_symlink()
        ]
    return files


@dataclass(frozen=True, slots=True)
class VersionsInUse:
    """The versions of a model that a record in force points to."""

    live: int
    """0: none is live."""
    reasons: Mapping[int, str]
    """Version → why it is held."""


def versions_in_use(
    deployment: Deployment, log: RecordLog, model: str, requests: Iterable[RetrainRequest]
) -> VersionsInUse:
    """Which versions of a model are held, as the settings and the log say."""
    held: dict[int, str] = {}
    live = 0
    section = deployment.settings.models.get(model)
    for label, number in (section.version_labels if section else {}).items():
        held[number] = f"the label {label} names version {number}"
    for request in requests:
        if request.model == model and request.base_version:
            held[request.base_version] = "a retrain compares with it"
    for status in reader.records(log, ExperimentStatus, model):
        for arm in status.definition.arms if status.phase != "ended" else ():
            held[arm.version] = "an experiment has it"
    for rollout in reader.newest(log, RolloutStatus, model, 1):
        for number in (rollout.version, rollout.champion):
            held[number] = "the rollout has it"
    promotions = reader.records(log, Promotion, model)
    for promotion in promotions[-1:]:
        earlier = [p.version for p in promotions if p.version != promotion.version]
        for number in (promotion.replaced, *earlier[-1:]):
            held[number] = f"version {number} was live before"
        held[promotion.version] = f"version {promotion.version} is live"
        live = promotion.version
    return VersionsInUse(live, held)


def remove(deployment: Deployment, plan: CleanUp) -> None:
    """Delete what the plan says, and mark it in ML Metadata as deleted."""
    for removal in plan.removed:
        path = Path(removal.files.path)
        if removal.files.kind == "version":  # it must not be seen half deleted
            hidden = path.with_name(f".removed-{path.name}")
            path.rename(hidden)
            path = hidden
            for file in (path, *path.rglob("*")):
                if file.is_dir():
                    file.chmod(0o755)
        shutil.rmtree(path, ignore_errors=True)
    _mark_removed(deployment)


def what_can_be_freed(deployment: Deployment) -> str:
    """One sentence on what `driftline prune` would free now; empty when that cannot be said."""
    try:
        with deployment.log() as log:
            files = retrain_files(deployment, log)
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


def _open_requests(log: RecordLog) -> dict[str, RetrainRequest]:
    """The requests without an outcome, by their id."""
    ended = {failure.request_id for failure in reader.stream(log, RetrainFailure)}
    ended |= {version.request_id for version in reader.stream(log, ModelVersion)}
    requests = {r.record_id: r for r in reader.stream(log, RetrainRequest)}
    return {name: request for name, request in requests.items() if name not in ended}


def _files_of_runs(root: Path, held: dict[str, str]) -> Iterator[KeptFiles]:
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


def _files_of_attempts(home: Path, held: dict[str, RetrainRequest]) -> Iterator[KeptFiles]:
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
) -> KeptFiles:
    size, at = _size(path, without)
    return KeptFiles(
        kind=kind,
        model=model,
        name=name,
        path=str(path),
        size=size,
        at=at_of.stat().st_mtime if at_of is not None else at,
        held_by=held_by,
    )


def _size(path: Path, without: tuple[Path, ...]) -> tuple[int, float]:
    """Bytes below a path, each shared file in parts, and its last change."""
    size, at = 0, path.stat().st_mtime
    for file in path.rglob("*"):
        if file.is_symlink() or any(file.is_relative_to(part) for part in without):
            continue
        status = file.stat()
        if file.is_file():
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
