"""The stream job on Flink: submit it through Beam's job server, watch and stop it through REST."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
from tenacity import Retrying, retry_if_exception_type, wait_fixed

from streaming.contracts.errors import NotFoundError, PermanentError, UnavailableError
from streaming.job.settings import JobSettings

Answer = TypeVar("Answer")

_ENDED = frozenset({"FINISHED", "CANCELED", "FAILED"})
_POLL_SECONDS = 0.25
_RETRIES = 1_000_000
_RETRY_MILLISECONDS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatus:
    """What Flink says about a job."""

    job_id: str
    name: str
    state: str
    """RUNNING, RESTARTING, INITIALIZING, FAILED, CANCELED, …"""
    since: float
    """Start of the job, seconds since 1970."""
    restarts: int
    checkpoints: int
    """Completed ones."""
    checkpoints_failed: int
    last_checkpoint: str
    """Where the newest completed checkpoint lies; empty when there is none."""
    last_checkpoint_at: float
    state_bytes: int
    """Size of the state in the newest complete checkpoint."""
    trouble: str
    """The newest exception's first line; empty when there was none."""


@dataclass(frozen=True, slots=True)
class Flink:
    """Flink's REST API, as far as it is needed.

    Parameters
    ----------
    rest:
        ``http://host:port`` of the JobManager.
    """

    rest: str
    timeout: float = 10.0

    def find(self, name: str) -> str | None:
        """Id of the newest job of this name that has not ended."""
        jobs = [
            job
            for job in self._get("/jobs/overview")["jobs"]
            if job["name"] == name and job["state"] not in _ENDED
        ]
        return str(max(jobs, key=lambda job: job["start-time"])["jid"]) if jobs else None

    def status(self, job_id: str) -> JobStatus:
        """How the job is.

        Raises
        ------
        NotFoundError
            When Flink knows no such job.
        """
        job = self._get(f"/jobs/{job_id}")
        checkpoints = self._get(f"/jobs/{job_id}/checkpoints", missing={})
        counts = checkpoints.get("counts", {})
        latest = (checkpoints.get("latest") or {}).get("completed") or {}
        exceptions = self._get(f"/jobs/{job_id}/exceptions", missing={})
        entries = exceptions.get("exceptionHistory", {}).get("entries", [])
        return JobStatus(
            job_id=job_id,
            name=job["name"],
            state=job["state"],
            since=job["start-time"] / 1000,
            restarts=self._restarts(job_id),
            checkpoints=counts.get("completed", 0),
            checkpoints_failed=counts.get("failed", 0),
            last_checkpoint=latest.get("external_path", ""),
            last_checkpoint_at=latest.get("latest_ack_timestamp", 0) / 1000,
            state_bytes=int(latest.get("state_size", 0)),
            trouble=entries[0]["stacktrace"].splitlines()[0] if entries else "",
        )

    def running(self, job_id: str) -> bool:
        """Do all parts of the job run?"""
        job = self._get(f"/jobs/{job_id}")
        return job["state"] == "RUNNING" and all(
            vertex["status"] == "RUNNING" for vertex in job["vertices"]
        )

    def parallelism(self, job_id: str) -> int:
        """That of the job's widest part."""
        return int(max(part["parallelism"] for part in self._get(f"/jobs/{job_id}")["vertices"]))

    def wait_running(self, job_id: str, *, seconds: float = 120.0) -> None:
        """Return once all parts of the job run.

        Raises
        ------
        PermanentError
            When the job ends instead.
        UnavailableError
            When it does not come up in time.
        """
        deadline = time.monotonic() + seconds
        while not _asked(lambda: self.running(job_id), deadline):
            found = _asked(lambda: self.status(job_id), deadline)
            if found.state in _ENDED:
                raise PermanentError(f"Job {found.name} is {found.state}: {found.trouble}")
            if time.monotonic() > deadline:
                raise UnavailableError(
                    f"Job {found.name} is {found.state} after {seconds:.0f} s; look for free slots "
                    "on the TaskManagers, and into the log of the Python workers. "
                    f"{found.trouble}"
                )
            time.sleep(_POLL_SECONDS)

    def cancel(self, job_id: str, *, seconds: float = 60.0) -> None:
        """Cancel and wait until it has ended; its last checkpoint stays."""
        self._call("PATCH", f"/jobs/{job_id}", params={"mode": "cancel"})
        deadline = time.monotonic() + seconds
        while _asked(lambda: self._get(f"/jobs/{job_id}"), deadline)["state"] not in _ENDED:
            if time.monotonic() > deadline:
                raise UnavailableError(f"Job {job_id} is not cancelled after {seconds:.0f} s.")
            time.sleep(_POLL_SECONDS)

    def savepoint(self, job_id: str, *, folder: str = "", seconds: float = 120.0) -> str:
        """Write a savepoint; where it lies.

        Parameters
        ----------
        folder:
            As Flink sees it; empty = Flink's own ``state.savepoints.dir``.
        """
        body: dict[str, object] = {"cancel-job": False}
        if folder:
            body["target-directory"] = folder
        asked = self._call("POST", f"/jobs/{job_id}/savepoints", json=body)
        path = f"/jobs/{job_id}/savepoints/{asked['request-id']}"
        deadline = time.monotonic() + seconds
        while (answer := _asked(lambda: self._get(path), deadline))["status"]["id"] != "COMPLETED":
            if time.monotonic() > deadline:
                raise UnavailableError(
                    f"The savepoint of {job_id} is not done after {seconds:.0f} s."
                )
            time.sleep(_POLL_SECONDS)
        operation = answer["operation"]
        if "location" not in operation:
            cause = operation["failure-cause"]["stack-trace"].splitlines()[0]
            raise PermanentError(f"Flink wrote no savepoint of {job_id}: {cause}")
        return str(operation["location"])

    # -------------------------------------------------------------------- parts

    def _restarts(self, job_id: str) -> int:
        found = self._get(f"/jobs/{job_id}/metrics", missing=[], params={"get": "numRestarts"})
        return int(float(found[0]["value"])) if found else 0

    def _get(self, path: str, *, missing: Any = None, params: dict[str, str] | None = None) -> Any:
        try:
            return self._call("GET", path, params=params)
        except (NotFoundError, UnavailableError):
            if missing is None:
                raise
            return missing  # Flink answers with an error while a job is being set up

    def _call(self, method: str, path: str, **arguments: Any) -> Any:
        try:
            answer = httpx.request(method, f"{self.rest}{path}", timeout=self.timeout, **arguments)
        except httpx.HTTPError as error:
            raise UnavailableError(
                f"Flink at {self.rest} does not answer: {error}. `driftline up` starts the "
                "embedded one; `endpoints.flink` names another."
            ) from error
        if answer.status_code == 404:
            raise NotFoundError(f"Flink at {self.rest} knows no {path}.")
        if answer.is_error:
            raise UnavailableError(f"Flink at {self.rest} says {answer.status_code} to {path}.")
        return answer.json() if answer.content else {}


def _asked(ask: Callable[[], Answer], deadline: float) -> Answer:
    """Flink's answer. One that is busy with taking a job may be silent for seconds: it is asked
    again until `deadline`, in seconds of the monotonic clock."""
    again = Retrying(
        retry=retry_if_exception_type(UnavailableError),
        wait=wait_fixed(_POLL_SECONDS),
        stop=lambda _: time.monotonic() > deadline,
        reraise=True,
    )
    return again(ask)


def submit(settings: JobSettings, *, seconds: float = 180.0) -> str:
    """Start the model's stream job and return its Flink id once all its parts run.

    A job of the same name that runs already is left alone and its id returned.

    Raises
    ------
    UnavailableError
        When the job server or Flink does not answer, or the job does not come up in time.
    PermanentError
        When the job ends at once.
    """
    flink = Flink(settings.flink_rest)
    running = flink.find(settings.name)
    if running is not None:
        flink.wait_running(running, seconds=seconds)
        return running
    _probe(settings.job_endpoint)
    _send(settings)
    deadline = time.monotonic() + seconds
    while (job_id := _asked(lambda: flink.find(settings.name), deadline)) is None:
        if time.monotonic() > deadline:
            raise UnavailableError(f"Job {settings.name} did not appear on {settings.flink_rest}.")
        time.sleep(_POLL_SECONDS)
    flink.wait_running(job_id, seconds=seconds)
    return job_id


def _probe(endpoint: str) -> None:
    """Beam waits minutes for a job server that is not there; say it at once."""
    host, _, port = endpoint.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5.0).close()
    except OSError as error:
        raise UnavailableError(
            f"The job server at {endpoint} does not answer ({error}); start it first."
        ) from error


def _send(settings: JobSettings) -> None:
    """Hand the graph to the job server; it runs on without us."""
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    from streaming.job.pipeline import build

    # Flink's own options are for the job server; Beam's warnings that Python does not know them
    # would only worry whoever reads the screen.
    logging.getLogger("apache_beam.options.pipeline_options").setLevel(logging.ERROR)
    pipeline = beam.Pipeline(options=PipelineOptions(options(settings)))
    build(pipeline, settings)
    try:
        pipeline.run()
    except Exception as error:
        if type(error).__module__.startswith("grpc"):
            raise UnavailableError(
                f"The job server at {settings.job_endpoint} did not take the job: {error}."
            ) from error
        raise


def options(settings: JobSettings) -> list[str]:
    """Beam's options of the job.

    Without ``--finish_bundle_before_checkpointing`` a first checkpoint inside the first bundle
    parks the source for ever; Flink's own setting does not switch checkpoints on.
    """
    chosen = [
        "--runner=PortableRunner",
        f"--job_endpoint={settings.job_endpoint}",
        "--environment_type=EXTERNAL",
        f"--environment_config={settings.worker_endpoint}",
        f"--job_name={settings.name}",
        "--streaming",
        "--sdk_worker_parallelism=1",
        f"--parallelism={settings.parallelism}",
        f"--max_parallelism={settings.max_workers}",
        f"--checkpointing_interval={round(settings.checkpoint_seconds * 1000)}",
        "--checkpointing_mode=EXACTLY_ONCE",
        "--externalized_checkpoints_enabled",
        "--retain_externalized_checkpoints_on_cancellation",
        "--finish_bundle_before_checkpointing",
        f"--number_of_execution_retries={_RETRIES}",
        f"--execution_retry_delay={_RETRY_MILLISECONDS}",
        # An impulse has no name of its own: Flink names it after what it is chained to, so with
        # chaining a savepoint could not be restored at another parallelism.
        "--operator_chaining",  # bare: the flag turns its default, true, to false
        "--max_bundle_time_mills=100",
        "--max_bundle_size=1000",
        "--experiments=disable_logging_submission_environment",
    ]
    if settings.checkpoint_folder:
        chosen.append(f"--state_backend_storage_path={_url(settings.checkpoint_folder)}")
    if settings.restore:
        chosen.append(f"--savepoint_path={_url(settings.restore)}")
    return chosen


def newest_checkpoint(folder: Path) -> str:
    """The newest complete checkpoint below Flink's checkpoint folder; empty when there is none.

    Flink keeps them as ``<job id>/chk-<n>``; a complete one has a ``_metadata``.
    """
    found = sorted(folder.glob("*/chk-*/_metadata"), key=lambda path: path.stat().st_mtime)
    return str(found[-1].parent) if found else ""


def _url(place: str) -> str:
    return place if urlsplit(place).scheme else Path(place).absolute().as_uri()
