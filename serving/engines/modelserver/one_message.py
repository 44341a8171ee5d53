"""gRPC methods that take one message, which has to come in time.

grpc's own handlers of such methods keep a thread of the server until the message is there, also
where the client never sends one. Here the call is ended after `MESSAGE_SECONDS`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc

MESSAGE_SECONDS = 30.0
"""A call whose message has not come by then is ended; as long as the head of an HTTP request."""
_LOOK_SECONDS = 1.0

Handle = Callable[[Any, grpc.ServicerContext], Any]


class MessageWatch:
    """Ends the calls that wait for their message for too long; safe for threads.

    Parameters
    ----------
    seconds:
        How long they may wait.
    """

    def __init__(self, *, seconds: float = MESSAGE_SECONDS) -> None:
        self._seconds = seconds
        self._waiting: dict[int, tuple[float, grpc.ServicerContext]] = {}
        threading.Thread(target=self._watch, name="grpc-messages", daemon=True).start()

    def handler(self, handle: Handle, *, read: Callable[[bytes], Any]) -> Any:
        """The handler of a method.

        Parameters
        ----------
        handle:
            Takes the message and gives the response as bytes.
        read:
            Reads the message.
        """

        def one(messages: Iterator[Any], context: grpc.ServicerContext) -> Any:
            waits = id(context)
            self._waiting[waits] = (time.monotonic(), context)
            try:
                message = next(messages, None)
            finally:
                del self._waiting[waits]
            if message is None:
                context.abort(grpc.StatusCode.UNIMPLEMENTED, "Exactly one message is required.")
            return handle(message, context)

        return grpc.stream_unary_rpc_method_handler(
            one,
            request_deserializer=read,
            response_serializer=None,  # it is bytes already
        )

    def _watch(self) -> None:
        while True:
            time.sleep(min(_LOOK_SECONDS, self._seconds))
            now = time.monotonic()
            for since, context in list(self._waiting.values()):
                if now - since >= self._seconds:
                    context.cancel()  # type: ignore[no-untyped-call]
