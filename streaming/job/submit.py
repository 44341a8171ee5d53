"""Submits the stream job to Flink through Beam's job server."""

from __future__ import annotations

import logging
import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

from streaming.contracts.errors import UnavailableError
from streaming.engines.flink.client import POLL_SECONDS, Flink, retry_until
from streaming.engines.kafka.log import KafkaLog
from streaming.job.settings import JobSettings, window_rules

_RETRIES = 1_000_000
_RETRY_MILLISECONDS = 1000


def submit(settings: JobSettings, *, seconds: float = 180.0) -> str:
    """Start the stream job and return its Flink id once all its tasks run.

    If a job of the same name is running, nothing is started and its id is returned.

    Raises
    ------
    UnavailableError
        When the job server or Flink does not answer, or the job does not run in time.
    PermanentError
        When the job ends at once.
    """
    flink = Flink(settings.flink_rest)
    earlier = flink.runs(settings.name)
    running = next((run.job_id for run in earlier if not run.ended), None)
    if running is not None:
        flink.wait_running(running, seconds=seconds)
        return running
    _check_job_server(settings.job_endpoint)
    write_rules(settings)
    _run_pipeline(settings)
    deadline = time.monotonic() + seconds
    known = {run.job_id for run in earlier}
    while (job_id := retry_until(deadline, lambda: _new_run(flink, settings.name, known))) is None:
        if time.monotonic() > deadline:
            raise UnavailableError(f"Job {settings.name} did not appear on {settings.flink_rest}.")
        time.sleep(POLL_SECONDS)
    flink.wait_running(job_id, seconds=seconds)
    return job_id


def _new_run(flink: Flink, name: str, known: set[str]) -> str | None:
    """The newest run that is not known; it may have ended already, for example at its restore."""
    return next((run.job_id for run in flink.runs(name) if run.job_id not in known), None)


def options(settings: JobSettings) -> list[str]:
    """Beam's pipeline options for the job.

    Without ``--finish_bundle_before_checkpointing`` a first checkpoint inside the first bundle
    blocks the source for ever; Flink's own setting does not switch checkpoints on.
    """
    arguments = [
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
        # An impulse has no name of its own: Flink names it after the operator it is chained to, so
        # with chaining a savepoint could not be restored at another parallelism.
        "--operator_chaining",  # without a value: the flag turns its default, true, to false
        "--max_bundle_time_mills=100",
        "--max_bundle_size=1000",
        "--experiments=disable_logging_submission_environment",
    ]
    if settings.checkpoint_folder:
        arguments.append(f"--state_backend_storage_path={_url(settings.checkpoint_folder)}")
    if settings.restore:
        arguments.append(f"--savepoint_path={_url(settings.restore)}")
    return arguments


def _check_job_server(endpoint: str) -> None:
    """Raise `UnavailableError` at once; Beam waits minutes for a job server that is not running."""
    host, _, port = endpoint.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5.0).close()
    except OSError as error:
        raise UnavailableError(
            f"The job server at {endpoint} does not answer ({error}). `driftline up` starts the "
            "embedded one; `endpoints.jobserver` names another."
        ) from error


def write_rules(settings: JobSettings) -> None:
    """Write the rules of each model, which the verdicts of the job name by their digest."""
    log = KafkaLog(settings.bootstrap)
    try:
        log.append(
            [window_rules(job).record(code=job.code, at=time.time()) for job in settings.models]
        )
    finally:
        log.close()


def _run_pipeline(settings: JobSettings) -> None:
    """Send the pipeline to the job server, which runs it."""
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    from streaming.job.pipeline import build

    # Flink's own options are meant for the job server; Beam would warn that Python does not know
    # them.
    logging.getLogger("apache_beam.options.pipeline_options").setLevel(logging.ERROR)
    pipeline = beam.Pipeline(options=PipelineOptions(options(settings)))
    build(pipeline, settings)
    try:
        pipeline.run()
    except Exception as error:
        if type(error).__module__.startswith("grpc"):
            raise UnavailableError(
                f"The job server at {settings.job_endpoint} did not accept the job: {error}."
            ) from error
        raise


def _url(path: str) -> str:
    return path if urlsplit(path).scheme else Path(path).absolute().as_uri()
