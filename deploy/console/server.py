"""Runs the console: the projection's feeder in a thread, and the web server in front of it."""

from __future__ import annotations

import socket
import threading
import time
from functools import partial

import uvicorn

from deploy.app.deployment import Deployment
from deploy.console.access import open_access
from deploy.console.addresses import check_address, gateway, transport
from deploy.console.app import create_app
from deploy.console.context import Console, Feed
from deploy.console.identity import Identity
from deploy.console.live import Live
from deploy.console.pictures import Pictures
from deploy.projection.current import projection_folder
from deploy.projection.feed import follow_for_ever
from deploy.projection.reader import ProjectionReader
from deploy.projection.writer import Applied, ProjectionWriter
from deploy.records.commands import current_user
from deploy.runs.opened import read_recorded
from deploy.services.shutdown import exit_on_sigterm
from streaming.contracts.log import RecordLog

EVERYWHERE = "0.0.0.0"  # noqa: S104 - in a container; `Transport` refuses all but its machine


class Feeder:
    """Follows the log in a thread until it is stopped.

    Parameters
    ----------
    log:
        The log; the feeder closes it at its end.
    """

    def __init__(self, log: RecordLog, writer: ProjectionWriter, feed: Feed, live: Live) -> None:
        self._log, self._writer, self._feed, self._live = log, writer, feed, live
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feeder", daemon=True)

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def stop(self) -> None:
        """End it and release log and projection."""
        self._stopped.set()
        self._thread.join(timeout=30.0)

    def _run(self) -> None:
        try:
            follow_for_ever(
                self._log,
                self._writer,
                stopped=self._stopped.is_set,
                on_applied=self._on_applied,
                on_problem=self._on_problem,
                pause=self._pause,
            )
        except Exception as error:
            self._on_problem(f"The projection stopped: {error}. Start the console again.")
            raise
        finally:
            self._writer.close()
            self._log.close()

    def _pause(self, seconds: float) -> None:
        self._stopped.wait(seconds)

    def _on_applied(self, applied: Applied) -> None:
        self._live.publish(applied.models)

    def _on_problem(self, problem: str) -> None:
        changed = problem != self._feed.problem or not (problem or self._feed.read)
        self._feed.read = self._feed.read or not problem
        self._feed.problem = problem
        if changed:
            self._live.publish(frozenset())


class ConsoleServer(uvicorn.Server):
    """A web server that ends the streams of open pages before it waits for their connections.

    Parameters
    ----------
    console:
        The console that is served; it must answer under the name that `host` and `port` give.
    """

    def __init__(self, console: Console, *, host: str, port: int) -> None:
        super().__init__(
            uvicorn.Config(
                create_app(console),
                host=host,
                port=port,
                log_level="warning",
                server_header=False,
                timeout_graceful_shutdown=5,
                proxy_headers=False,  # `Transport` decides who may say for whom it asks
                ssl_certfile=console.access.settings.certificate_file or None,
                ssl_keyfile=console.access.settings.key_file or None,
            )
        )
        self._live = console.live

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop serving."""
        self._live.close()
        await super().shutdown(sockets)


def run(deployment: Deployment, *, host: str, port: int, in_container: bool = False) -> None:
    """Serve the console until it is interrupted.

    Parameters
    ----------
    in_container:
        Whether to listen on all addresses of the container, whose port is published under `host`,
        and to answer only the machine that runs the container.

    Raises
    ------
    ConfigurationError
        When `host` may not be used with these settings.
    Conflict
        When another console of the deployment runs.
    """
    check_address(host, deployment.settings.access)
    clients = frozenset({gateway()}) if in_container else frozenset()
    folder = projection_folder(deployment.home, deployment.bootstrap)
    writer = ProjectionWriter(folder)
    feed, live = Feed(), Live()
    reader = ProjectionReader(folder)
    access = open_access(
        deployment.settings, deployment.home, local=current_user(), port=port, file=deployment.file
    )
    console = Console(
        settings=deployment.settings,
        file=deployment.file.name,
        reader=reader,
        open_log=deployment.log,
        pictures=Pictures(folder),
        live=live,
        now=time.time,
        access=access,
        identity=Identity(person=access.local, how="local", roles=access.roles),
        transport=transport(access.settings, port, clients=clients),
        recorded=partial(read_recorded, deployment),
        feed=feed,
    )
    exit_on_sigterm()
    feeder = Feeder(deployment.open_log(), writer, feed, live)
    feeder.start()
    try:
        ConsoleServer(console, host=EVERYWHERE if in_container else host, port=port).run()
    finally:
        feeder.stop()
        reader.close()
