"""PostgreSQL, MariaDB and MySQL of this machine, started on a port of their own for a test.

They are looked for on PATH and in the folders of Debian's packages. ``DRIFTLINE_TEST_MARIADB``
names a folder into which Debian's packages were unpacked, ``DRIFTLINE_TEST_MYSQL`` one with
``bin/mysqld``, ``share`` and ``lib``: MySQL's own archive, with every library that it needs in
``lib``.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from retrain.engines.mlmd.connection import MetadataServer
from tests.free_ports import free_port

PASSWORD = "metadata-secret"
_SECONDS = 60.0


def postgresql_programs() -> Path | None:
    """The folder with initdb and postgres."""
    folders = [*Path("/usr/lib/postgresql").glob("*/bin")]
    named = shutil.which("initdb")
    folders += [Path(named).resolve().parent] if named else []
    return next((folder for folder in folders if (folder / "initdb").exists()), None)


def mariadb_root() -> Path | None:
    """The root below which usr/sbin/mariadbd is."""
    roots = [Path(os.environ.get("DRIFTLINE_TEST_MARIADB", "/nowhere")), Path("/")]
    return next((root for root in roots if (root / "usr/sbin/mariadbd").exists()), None)


def mysql_root() -> Path | None:
    """The root below which MySQL's bin/mysqld is."""
    root = Path(os.environ.get("DRIFTLINE_TEST_MYSQL", "/nowhere"))
    return root if (root / "bin/mysqld").exists() else None


@contextmanager
def postgresql() -> Iterator[MetadataServer]:
    """A running PostgreSQL with a user that has a password."""
    programs = postgresql_programs()
    assert programs is not None
    with _folder() as folder:
        secret = folder / "password"
        secret.write_text(PASSWORD + "\n")
        data = folder / "data"
        _as_user([
            programs / "initdb", "-D", data, "-U", "mlmd", f"--pwfile={secret}", "-A",
            "scram-sha-256", "--no-sync",
        ])  # fmt: skip
        port = free_port()
        command = [
            programs / "postgres", "-D", data, "-p", str(port), "-h", "127.0.0.1",
            "-k", folder, "-F",
        ]  # fmt: skip
        # SIGTERM would wait for its clients, which live in this process
        with _running(command, folder, port, end_by=signal.SIGINT):
            yield MetadataServer(
                kind="postgresql", host="127.0.0.1", port=port, database="lineage", user="mlmd",
                password_file=str(secret),
            )  # fmt: skip


@contextmanager
def mariadb() -> Iterator[MetadataServer]:
    """A running MariaDB with a user that has a password."""
    root = mariadb_root()
    assert root is not None
    with _folder() as folder:
        secret = folder / "password"
        secret.write_text(PASSWORD + "\n")
        data, script = folder / "data", folder / "begin.sql"
        data.mkdir()
        _own(data)
        tables = "".join(
            (root / "usr/share/mysql" / name).read_text()
            for name in ("mysql_system_tables.sql", "mysql_system_tables_data.sql")
        )
        first = folder / "tables.sql"
        first.write_text(f"CREATE DATABASE IF NOT EXISTS mysql;\nUSE mysql;\n{tables}")
        script.write_text(
            f"CREATE USER 'mlmd'@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';\n"
            "GRANT ALL ON *.* TO 'mlmd'@'127.0.0.1';\n"
        )
        program = root / "usr/sbin/mariadbd"
        common = [
            program, "--no-defaults", f"--datadir={data}", f"--tmpdir={folder}",
            f"--lc-messages-dir={root / 'usr/share/mysql'}", "--innodb-flush-log-at-trx-commit=0",
        ]  # fmt: skip
        libraries = str(root / "usr/lib/x86_64-linux-gnu")
        environment = os.environ | {"LD_LIBRARY_PATH": libraries}
        with first.open() as statements:
            _as_user([*common, "--bootstrap", "--skip-grant-tables"], statements, environment)
        with _speaking_mysql(common, folder, environment, script=script, secret=secret) as server:
            yield server


@contextmanager
def mysql() -> Iterator[MetadataServer]:
    """A running MySQL with a user that has a password."""
    root = mysql_root()
    assert root is not None
    with _folder() as folder:
        secret, script, data = folder / "password", folder / "begin.sql", folder / "data"
        secret.write_text(PASSWORD + "\n")
        script.write_text(
            "CREATE USER 'mlmd'@'127.0.0.1' IDENTIFIED WITH mysql_native_password"
            f" BY '{PASSWORD}';\nGRANT ALL ON *.* TO 'mlmd'@'127.0.0.1';\n"
        )
        common = [
            root / "bin/mysqld", "--no-defaults", f"--basedir={root}", f"--datadir={data}",
            f"--tmpdir={folder}", f"--lc-messages-dir={root / 'share'}",
            "--innodb-flush-log-at-trx-commit=0", "--mysqlx=OFF",
        ]  # fmt: skip
        environment = os.environ | {"LD_LIBRARY_PATH": str(root / "lib")}
        data.mkdir()
        _own(data)
        _as_user([*common, "--initialize-insecure"], environment=environment)
        with _speaking_mysql(common, folder, environment, script=script, secret=secret) as server:
            yield server


@contextmanager
def _speaking_mysql(
    common: list[Any], folder: Path, environment: dict[str, str], *, script: Path, secret: Path
) -> Iterator[MetadataServer]:
    """MariaDB or MySQL, begun by a script that makes the user."""
    port = free_port()
    command = [
        *common, f"--port={port}", "--bind-address=127.0.0.1", f"--socket={folder / 's'}",
        f"--pid-file={folder / 'pid'}", f"--init-file={script}", "--skip-name-resolve",
    ]  # fmt: skip
    with _running(command, folder, port, environment):
        yield MetadataServer(
            kind="mysql", host="127.0.0.1", port=port, database="lineage", user="mlmd",
            password_file=str(secret),
        )  # fmt: skip


@contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="driftline-db-"))
    folder.chmod(0o755)
    _own(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _user() -> dict[str, Any]:
    """Database servers refuse to run as root."""
    if os.getuid():
        return {}
    entry = pwd.getpwnam("nobody")
    return {"user": entry.pw_uid, "group": entry.pw_gid}


def _own(folder: Path) -> None:
    owner = _user()
    if owner:
        os.chown(folder, owner["user"], owner["group"])


def _as_user(
    command: Sequence[Any], stdin: Any = subprocess.DEVNULL, environment: Any = None
) -> None:
    done = subprocess.run(
        command, stdin=stdin, capture_output=True, text=True, env=environment, check=False,
        cwd="/", **_user(),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]


@contextmanager
def _running(
    command: Sequence[Any],
    folder: Path,
    port: int,
    environment: Any = None,
    *,
    end_by: signal.Signals = signal.SIGTERM,
) -> Iterator[None]:
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env=environment, cwd="/", **_user()
        )
    try:
        deadline = time.monotonic() + _SECONDS
        while not (_answers(port) and _is_ready(folder / "log")):
            text = (folder / "log").read_text(errors="replace")[-2000:]
            assert process.poll() is None, text
            assert time.monotonic() < deadline, text
            time.sleep(0.1)
        yield
    finally:
        process.send_signal(end_by)
        process.wait(30.0)


def _answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def _is_ready(log: Path) -> bool:
    """PostgreSQL takes connections before it is ready, and refuses what is asked on them."""
    text = log.read_text(errors="replace")
    return "ready to accept connections" in text or "ready for connections" in text
