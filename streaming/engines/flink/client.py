"""Flink's REST API, as far as the stream job needs it: find, watch, savepoint and cancel a job."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
from tenacity import Retrying, retry_if_exception_type, wait_fixed

from streaming.contracts.errors import NotFoundError, PermanentError, UnavailableError

Response = TypeVar("Response")

_ENDED = frozenset({"FINISHED", "CANCELED", "FAILED"})
POLL_SECONDS = 0.25
"""Time between two requests while something is awaited."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRun:
    """One run of a job that Flink remembers; it forgets all of them when its JobManager ends."""

    job_id: str
    state: str
    """RUNNING, RESTARTING, CANCELLING, FAILED, …"""
    started_at: float
    """Seconds since 1970."""

    @property
    def ended(self) -> bool:
        """Whether it can never run again."""
        return self.state in _ENDED


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatus:
    """The state of a Flink job."""

    job_id: str
    name: str
    state: str
    """RUNNING, RESTARTING, INITIALIZING, FAILED, CANCELED, …"""
    started_at: float
    """Start of the job, seconds since 1970."""
    restarts: int
    checkpoints: int
    """Number of completed checkpoints."""
    checkpoints_failed: int
    last_checkpoint: str
    """Path of the newest completed checkpoint; empty when there is none."""
    last_checkpoint_at: float
    state_bytes: int
    """Size of the state in the newest completed checkpoint."""
    last_error: str
    """First line of the newest exception; empty when there was none."""
    restored_from: str = ""
    """Path of the checkpoint or savepoint that it was last restored from; empty = none."""


@dataclass(frozen=True, slots=True)
class Flink:
    """A client of Flink's REST API.

    Parameters
    ----------
    rest:
        ``http://host:port`` of the JobManager.
    """

    rest: str
    timeout: float = 10.0

    def find(self, name: str) -> str | None:
        """Id of the newest job of this name that has not ended."""
        return next((run.job_id for run in self.runs(name) if not run.ended), None)

    def runs(self, name: str) -> tuple[JobRun, ...]:
        """Every run of this name that Flink remembers, the newest first."""
        jobs = [job for job in self._get("/jobs/overview")["jobs"] if job["name"] == name]
        runs = [
            JobRun(job_id=job["jid"], state=job["state"], started_at=job["start-time"] / 1000)
            for job in jobs
        ]
        return tuple(sorted(runs, key=lambda run: run.started_at, reverse=True))

    def task_managers(self) -> int:
        """Number of TaskManagers that are registered."""
        return int(self._get("/overview")["taskmanagers"])

    def status(self, job_id: str) -> JobStatus:
        """The state of a job.

        Raises
        ------
        NotFoundError
            When Flink has no such job.
        """
        job = self._get(f"/jobs/{job_id}")
        checkpoints = self._get(f"/jobs/{job_id}/checkpoints", missing={})
        counts = checkpoints.get("counts", {})
        newest = checkpoints.get("latest") or {}
        latest = newest.get("completed") or {}
        restored = newest.get("restored") or {}
        exceptions = self._get(f"/jobs/{job_id}/exceptions", missing={})
        entries = exceptions.get("exceptionHistory", {}).get("entries", [])
        return JobStatus(
            job_id=job_id,
            name=job["name"],
            state=job["state"],
            started_at=job["start-time"] / 1000,
            restarts=self._restarts(job_id),
            checkpoints=counts.get("completed", 0),
            checkpoints_failed=counts.get("failed", 0),
            last_checkpoint=latest.get("external_path", ""),
            last_checkpoint_at=latest.get("latest_ack_timestamp", 0) / 1000,
            state_bytes=int(latest.get("state_size", 0)),
            last_error=entries[0]["stacktrace"].splitlines()[0] if entries else "",
            restored_from=restored.get("external_path") or "",
        )

    def newest_checkpoint(self, job_id: str) -> tuple[str, float]:
        """Path and time of a job's newest completed checkpoint; empty and 0 when it has none."""
        checkpoints = self._get(f"/jobs/{job_id}/checkpoints", missing={})
        newest = (checkpoints.get("latest") or {}).get("completed") or {}
        return newest.get("external_path") or "", newest.get("latest_ack_timestamp", 0) / 1000

    def running(self, job_id: str) -> bool:
        """Whether the job and all its tasks run."""
        job = self._get(f"/jobs/{job_id}")
        return job["state"] == "RUNNING" and all(
            vertex["status"] == "RUNNING" for vertex in job["vertices"]
        )

    def parallelism(self, job_id: str) -> int:
        """The largest parallelism of the job's operators."""
        vertices = self._get(f"/jobs/{job_id}")["vertices"]
        return int(max(vertex["parallelism"] for vertex in vertices))

    def wait_running(self, job_id: str, *, seconds: float = 120.0) -> None:
        """Wait until all tasks of the job run.

        Raises
        ------
        PermanentError
            When the job ends instead.
        UnavailableError
            When it does not run in time.
        """
        deadline = time.monotonic() + seconds
        while not retry_until(deadline, lambda: self.running(job_id)):
            status = retry_until(deadline, lambda: self.status(job_id))
            if status.state in _ENDED:
                raise PermanentError(f"Job {status.name} is {status.state}: {status.last_error}")
            if time.monotonic() > deadline:
                raise UnavailableError(
                    f"Job {status.name} is {status.state} after {seconds:.0f} s; check for free "
                    "slots on the TaskManagers, and the log of the Python workers. "
                    f"{status.last_error}"
                )
            time.sleep(POLL_SECONDS)

    def cancel(self, job_id: str, *, seconds: float = 60.0) -> None:
        """Cancel a job and wait until it has ended; its last checkpoint stays."""
        self._call("PATCH", f"/jobs/{job_id}", params={"mode": "cancel"})
        deadline = time.monotonic() + seconds
        while retry_until(deadline, lambda: self._get(f"/jobs/{job_id}"))["state"] not in _ENDED:
            if time.monotonic() > deadline:
                raise UnavailableError(f"Job {job_id} is not cancelled after {seconds:.0f} s.")
            time.sleep(POLL_SECONDS)

    def savepoint(self, job_id: str, *, folder: str = "", seconds: float = 120.0) -> str:
        """Write a savepoint and return its path.

        Parameters
        ----------
        folder:
            Path that Flink can write; empty = Flink's own ``state.savepoints.dir``.
        """
        body: dict[str, object] = {"cancel-job": False}
        if folder:
            body["target-directory"] = folder
        request = self._call("POST", f"/jobs/{job_id}/savepoints", json=body)
        path = f"/jobs/{job_id}/savepoints/{request['request-id']}"
        deadline = time.monotonic() + seconds
        while True:
            response = retry_until(deadline, lambda: self._get(path))
            if response["status"]["id"] == "COMPLETED":
                break
            if time.monotonic() > deadline:
                raise UnavailableError(
                    f"The savepoint of {job_id} is not complete after {seconds:.0f} s."
                )
            time.sleep(POLL_SECONDS)
        operation = response["operation"]
        if "location" not in operation:
            cause = operation["failure-cause"]["stack-trace"].splitlines()[0]
            raise PermanentError(f"Flink wrote no savepoint of {job_id}: {cause}")
        return str(operation["location"])

    # ------------------------------------------------------------------ requests

    def _restarts(self, job_id: str) -> int:
        metrics = self._get(f"/jobs/{job_id}/metrics", missing=[], params={"get": "numRestarts"})
        return int(float(metrics[0]["value"])) if metrics else 0

    def _get(self, path: str, *, missing: Any = None, params: dict[str, str] | None = None) -> Any:
        """The JSON at `path`; `missing`, if given, when Flink responds with an error."""
        try:
            return self._call("GET", path, params=params)
        except (NotFoundError, UnavailableError):
            if missing is None:
                raise
            return missing  # Flink responds with an error while it sets up a job

    def _call(self, method: str, path: str, **arguments: Any) -> Any:
        try:
            response = httpx.request(
                method, f"{self.rest}{path}", timeout=self.timeout, **arguments
            )
        except httpx.HTTPError as error:
            raise UnavailableError(
                f"Flink at {self.rest} does not answer: {error}. `driftline up` starts the "
                "embedded one; `endpoints.flink` names another."
            ) from error
        if response.status_code == 404:
            raise NotFoundError(f"Flink at {self.rest} has no {path}.")
        if response.is_error:
            raise UnavailableError(
                f"Flink at {self.rest} responded to {path} with status {response.status_code}."
            )
        return response.json() if response.content else {}


def retry_until(deadline: float, request: Callable[[], Response]) -> Response:
    """The response to a request, which is retried while Flink is unavailable.

    Flink may not answer for seconds while it accepts a job.

    Parameters
    ----------
    deadline:
        The last time for a retry, in seconds of the monotonic clock.
    """
    retrying = Retrying(
        retry=retry_if_exception_type(UnavailableError),
        wait=wait_fixed(POLL_SECONDS),
        stop=lambda _: time.monotonic() > deadline,
        reraise=True,
    )
    return retrying(request)


_METADATA_START = (0x4960672D).to_bytes(4, "big")
"""How a `_metadata` begins (Flink's `Checkpoints.HEADER_MAGIC_NUMBER`)."""


def complete_checkpoints(folder: Path, job_id: str) -> tuple[str, ...]:
    """Paths of a job's complete checkpoints below Flink's checkpoint folder, the best first.

    Flink keeps them as ``<job id>/chk-<n>``; a complete one has a `_metadata`. The newest is first;
    those whose `_metadata` does not begin as Flink writes it are last. One that was cut off further
    inside is recognised only when Flink refuses it.
    """
    numbered = [
        (begins_well(path), int(path.name.removeprefix("chk-")), str(path))
        for path in (folder / job_id).glob("chk-*")
        if path.name.removeprefix("chk-").isdigit() and (path / "_metadata").is_file()
    ]
    return tuple(path for _, _, path in sorted(numbered, reverse=True))


def begins_well(checkpoint: Path) -> bool:
    """Whether a checkpoint's or savepoint's `_metadata` begins as Flink writes it.

    One that may not be read here counts: Flink may read it.
    """
    try:
        with (checkpoint / "_metadata").open("rb") as metadata:
            return metadata.read(len(_METADATA_START)) == _METADATA_START
    except PermissionError:
        return True
    except OSError:
        return False
