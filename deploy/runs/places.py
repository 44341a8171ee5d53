"""Where a deployment's ML Metadata is, and the files that it names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from retrain.engines.run_files import RunFiles, metadata_file
from retrain.run_view import RunPolicy

if TYPE_CHECKING:
    from deploy.app.deployment import Deployment
    from retrain.engines.mlmd.connection import MetadataServer


def metadata_place(deployment: Deployment) -> Path | MetadataServer:
    """The SQLite file, or the server that the settings name."""
    metadata = deployment.settings.metadata
    if metadata.store == "sqlite":
        return metadata_file(deployment.home)

    from retrain.engines.mlmd.connection import MetadataServer

    return MetadataServer(
        kind=metadata.store,
        host=metadata.host,
        port=metadata.port_in_use,
        database=metadata.database,
        user=metadata.user,
        password_file=metadata.password_file,
    )


def run_files(deployment: Deployment) -> RunFiles:
    """The files of runs, in the artifact store."""
    metadata = deployment.settings.metadata
    policy = RunPolicy(runs=metadata.keep_runs, examples=metadata.keep_examples)
    return RunFiles(deployment.artifact_root / "runs", policy)
