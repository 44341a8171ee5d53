"""Where ML Metadata is: a SQLite file, or a database on a PostgreSQL or MySQL server.

The client creates the database and its tables when they are missing. Several workers may share a
server or a file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from ml_metadata import MetadataStore, errors
from ml_metadata.proto import metadata_store_pb2

from streaming.contracts.errors import ConfigurationError, UnavailableError

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataServer:
    """A database server that holds ML Metadata."""

    kind: Literal["postgresql", "mysql"]
    host: str
    port: int
    database: str
    user: str
    password_file: str = ""
    """File with the password; empty = the server asks for none."""

    def __str__(self) -> str:
        return f"{self.kind}://{self.user}@{self.host}:{self.port}/{self.database}"


MetadataPlace = Path | MetadataServer | Any
"""A SQLite file, a server, or a ``ConnectionConfig`` of ML Metadata."""


def connection_of(place: MetadataPlace) -> Any:
    """The connection to ML Metadata; the folder of a SQLite file is created.

    Raises
    ------
    ConfigurationError
        When the file with the password cannot be read.
    """
    config = metadata_store_pb2.ConnectionConfig()
    if isinstance(place, Path):
        place.parent.mkdir(parents=True, exist_ok=True)
        config.sqlite.filename_uri = str(place)
        config.sqlite.connection_mode = config.sqlite.READWRITE_OPENCREATE
        return config
    if not isinstance(place, MetadataServer):
        return place
    password = _password(place.password_file)
    if place.kind == "postgresql":
        server = config.postgresql
        server.host, server.port, server.dbname = place.host, str(place.port), place.database
    else:
        server = config.mysql
        server.host, server.port, server.database = place.host, place.port, place.database
    server.user, server.password = place.user, password
    return config


def open_store(place: MetadataPlace) -> MetadataStore:
    """ML Metadata; its tables are created when they are missing.

    Raises
    ------
    UnavailableError
        When the server does not answer or refuses the user, or the file cannot be opened.
    """
    return reached(place, lambda: MetadataStore(connection_of(place)))


def reached(place: MetadataPlace, act: Callable[[], T]) -> T:
    """The result of `act`; an error of ML Metadata becomes one that names the place.

    Raises
    ------
    UnavailableError
        When ML Metadata fails.
    """
    try:
        return act()
    except (errors.StatusError, RuntimeError) as error:  # RuntimeError: it cannot be connected to
        if isinstance(place, MetadataServer):
            advice = "Start the server, or correct `metadata` in driftline.yaml."
        else:
            advice = "Check the file and its disk."
        detail = " ".join(str(error).split())[:300].rstrip(".")
        raise UnavailableError(
            f"ML Metadata at {place} cannot be used: {detail or 'no answer'}. {advice}"
        ) from error


def _password(file: str) -> str:
    if not file:
        return ""
    try:
        return Path(file).expanduser().read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"metadata.password_file {file} cannot be read: {type(error).__name__}. Create it with"
            " the password alone, readable by the worker's user."
        ) from error
