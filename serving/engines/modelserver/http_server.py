"""An HTTP/1.1 server without an event loop: a few threads share one poll of all connections.

Each thread waits for one event, reads, answers and writes by itself. An event loop with threads for
the requests costs two changes of threads for each of them, which is more than most models take. A
request that takes long keeps its thread, and `Threads` gives its place to another.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import threading
import time
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from functools import partial

from serving.engines.modelserver.http_connection import Connection, Handler
from serving.engines.modelserver.log import log
from serving.engines.modelserver.priority import take_short_slices
from serving.engines.modelserver.threads import LOOK_SECONDS, Threads, Work

HEAD_SECONDS = 30.0
"""A connection that has not sent the whole head of its request by then is closed."""
_ONCE = select.EPOLLIN | select.EPOLLONESHOT
_ENDED = select.EPOLLRDHUP | select.EPOLLHUP
_CHANGES = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET
"""What the poll tells of a connection: that something changed, once, so that it need not be told
again after each request what to look for."""
_BACKLOG = 1024
_ACCEPTED_AT_ONCE = 64
_HELPERS = 8
_PAUSE_SECONDS = 1.0
"""Until connections are accepted again after the process had too many open files."""
_NO_ROOM = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class HttpServer(Threads):
    """Serves one handler on one port.

    Parameters
    ----------
    handler:
        Answers the requests.
    host, port:
        Where to listen.
    quick:
        Number of threads for quick requests.
    head_seconds:
        A connection that has not sent the whole head of its request by then is closed.
    run_seconds:
        A request is answered within this time of its head.

    Raises
    ------
    OSError
        When the port cannot be opened.
    """

    def __init__(
        self,
        handler: Handler,
        host: str,
        port: int,
        *,
        quick: int,
        head_seconds: float = HEAD_SECONDS,
        run_seconds: float,
    ) -> None:
        super().__init__(quick, most=64, name="rest")
        self.handler, self.head_seconds, self.run_seconds = handler, head_seconds, run_seconds
        self.waiting: set[Connection] = set()
        """The connections whose `until` counts."""
        self.is_stopping = False
        self._listeners = _listeners(host, port)
        self._connections: dict[int, Connection] = {}
        self._paused_until: float | None = None
        self._helpers = ThreadPoolExecutor(_HELPERS, thread_name_prefix="rest-helper")
        self._ending = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_SEMAPHORE)
        self._poll = select.epoll()
        self._poll.register(self._ending, select.EPOLLIN)
        for number in self._listeners:
            self._poll.register(number, _ONCE)

    def start(self) -> None:
        """Accept connections."""
        self._start()

    def stop(self, seconds: float) -> None:
        """Close the port, and every connection when its requests are answered; at most `seconds`
        are waited for them."""
        self.is_stopping = True
        for number, listener in self._listeners.items():
            with suppress(OSError):
                self._poll.unregister(number)
            listener.close()
        until, pause = time.monotonic() + seconds, threading.Event()
        while self._close_idle() and time.monotonic() < until:
            pause.wait(LOOK_SECONDS)
        self._closed.set()
        self._end_one()
        for connection in list(self._connections.values()):
            if connection.lock.acquire(blocking=False):  # else its request still runs
                connection.close()
                connection.lock.release()
        self._helpers.shutdown(wait=False)

    def _close_idle(self) -> bool:
        """Close connections without a request; whether there are others."""
        for connection in list(self._connections.values()):
            if connection.lock.acquire(blocking=False):
                connection.close_if_idle()
                self._release(connection)
        return bool(self._connections)

    def _release(self, connection: Connection) -> None:
        connection.lock.release()
        if connection.changed:
            self.poll_again(connection)

    # connections call these --------------------------------------------------------------------

    def poll_again(self, connection: Connection) -> None:
        """Have a thread attend to a connection although nothing has come."""
        with suppress(OSError, ValueError):  # it was closed meanwhile
            self._poll.modify(connection.number, _CHANGES)

    def forget(self, connection: Connection) -> None:
        """A connection is closed."""
        self.waiting.discard(connection)
        self._connections.pop(connection.number, None)
        with suppress(OSError, ValueError):
            self._poll.unregister(connection.number)

    # threads call these ------------------------------------------------------------------------

    def _begin(self) -> None:
        # not gRPC's threads, which wake each other: a call would cost a tenth more
        take_short_slices()

    def _take(self) -> Work | None:
        while True:
            for number, changes in self._poll.poll(maxevents=1):
                connection = self._connections.get(number)
                if connection is not None:
                    if changes & _ENDED:
                        connection.client_ended = True
                    connection.changed = True  # for the thread that may have it now
                    if connection.lock.acquire(blocking=False):
                        return connection.attend
                elif number == self._ending:
                    with suppress(BlockingIOError):  # another thread was quicker
                        os.eventfd_read(self._ending)
                        if self._closed.is_set():
                            os.eventfd_write(self._ending, 1)  # for the next thread
                        return None
                elif number in self._listeners:
                    return partial(self._accept, number)

    def _end_one(self) -> None:
        with suppress(BlockingIOError):
            os.eventfd_read(self._ending)  # nobody has ended since the last time
        os.eventfd_write(self._ending, 1)

    def _executor(self) -> Executor:
        return self._helpers

    def _accept(self, number: int) -> None:
        listener = self._listeners[number]
        try:
            for _ in range(_ACCEPTED_AT_ONCE):
                client, _ = listener.accept()
                self._add(client)
        except BlockingIOError:
            pass
        except OSError as error:
            if error.errno in _NO_ROOM:
                log.warning("connections.not_accepted", error=str(error))
                self._paused_until = time.monotonic() + _PAUSE_SECONDS
                return
        self._listen_again(number)

    def _add(self, client: socket.socket) -> None:
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(self, client)
        self._connections[connection.number] = connection
        self._poll.register(connection.number, _CHANGES)

    def _listen_again(self, number: int) -> None:
        with suppress(OSError, ValueError):  # the server stops
            self._poll.modify(number, _ONCE)

    def _look(self) -> None:
        """Called every few milliseconds: what takes too long."""
        now = time.monotonic()
        if self._paused_until is not None and now >= self._paused_until:
            self._paused_until = None
            for number in self._listeners:
                self._listen_again(number)
        for connection in list(self.waiting):
            if connection.until > now:
                continue
            if not connection.lock.acquire(blocking=False):
                connection.give_up()
                continue
            connection.expire()
            self._release(connection)


def _listeners(host: str, port: int) -> dict[int, socket.socket]:
    """The open sockets by their numbers, one for each address of the host."""
    listeners: dict[int, socket.socket] = {}
    addresses = socket.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    try:
        for family, kind, protocol, _, address in dict.fromkeys(addresses):
            listener = socket.socket(family, kind, protocol)
            listeners[listener.fileno()] = listener
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.setblocking(False)
            listener.bind(address)
            listener.listen(_BACKLOG)
    except OSError:
        for listener in listeners.values():
            listener.close()
        raise
    return listeners
