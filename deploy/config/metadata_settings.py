"""Where retrains are recorded: ML Metadata, and MLflow where the owner wants it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from deploy.config.types import Section
from retrain.run_view import RunPolicy

_POLICY = RunPolicy()
_NAME = r"^[A-Za-z_][A-Za-z0-9_]*$"
_PORTS = {"postgresql": 5432, "mysql": 3306}


class MetadataSettings(Section):
    """ML Metadata, which holds the lineage of every retrain, and the files that it names."""

    store: Literal["sqlite", "postgresql", "mysql"] = "sqlite"
    """sqlite: the file `metadata/mlmd.sqlite` below the stack's state. postgresql, mysql: a
    database on a server, which workers on several machines can share. MySQL's user needs
    mysql_native_password."""
    host: str = Field(default="127.0.0.1", min_length=1)
    """Host of the server."""
    port: int | None = Field(default=None, ge=1, le=65535)
    """Port of the server. null: 5432 for PostgreSQL, 3306 for MySQL."""
    database: str = Field(default="driftline", pattern=_NAME)
    """Name of the database, which is created if it is missing."""
    user: str = ""
    """User on the server."""
    password_file: str = ""
    """File with the user's password. Empty: the server asks for none."""
    keep_runs: int = Field(default=_POLICY.runs, ge=1)
    """Number of newest runs of a model whose files are kept in the artifact store: statistics,
    schema, evaluation, logs; those of the live version and the one before it stay as well. ML
    Metadata keeps the runs themselves."""
    keep_examples: int = Field(default=_POLICY.examples, ge=0)
    """Number of newest runs of a model whose examples are kept too."""

    @property
    def port_in_use(self) -> int:
        """The given port, or the server's usual one; 0 for a file."""
        return self.port or _PORTS.get(self.store, 0)


class MlflowSettings(Section):
    """Copies of runs in MLflow, made by a process of its own."""

    tracking_uri: str = Field(default="", pattern=r"^((https?|sqlite|file|postgresql|mysql)\S*)?$")
    """Where MLflow keeps runs: http://host:port of a server, or a database's URI such as
    sqlite:////srv/mlflow.db. Empty: no copies, unless `driftline runs export --to` asks for them.
    """
    experiment: str = Field(default="driftline", min_length=1, max_length=200)
    """Name of MLflow's experiment. Versions are registered under the model's name, with the
    aliases champion and challenger."""
