"""A call that sends no message keeps no thread for longer than the limit."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from serving.engines.modelserver.one_message import MessageWatch

METHOD = "/s/Double"
WORKERS = 2


@pytest.fixture
def channel() -> Iterator[grpc.Channel]:
    """A server with two threads that ends calls without a message after half a second."""
    watch = MessageWatch(seconds=0.5)
    pool = ThreadPoolExecutor(WORKERS)
    server = grpc.server(pool)
    double = watch.handler(lambda message, context: message * 2, read=bytes)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("s", {"Double": double}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as opened:
        yield opened
    server.stop(None).wait()
    pool.shutdown()


def silent(channel: grpc.Channel, release: threading.Event) -> Any:
    """A call whose client sends nothing until it is released, and nothing then."""

    def messages() -> Iterator[bytes]:
        release.wait(30)
        yield from ()

    call: Callable[..., Any] = channel.stream_unary(METHOD, bytes, bytes).future
    return call(messages(), timeout=30)


def test_calls_without_a_message_are_ended_and_others_are_answered(channel: grpc.Channel) -> None:
    release = threading.Event()
    waiting = [silent(channel, release) for _ in range(3 * WORKERS)]
    answer = channel.unary_unary(METHOD, bytes, bytes)
    assert answer(b"ab", timeout=20) == b"abab"
    assert {call.exception(timeout=20).code() for call in waiting} == {grpc.StatusCode.CANCELLED}
    release.set()
    assert answer(b"c", timeout=20) == b"cc"


def test_a_call_that_ends_without_a_message_is_told_so(channel: grpc.Channel) -> None:
    release = threading.Event()
    release.set()
    error = silent(channel, release).exception(timeout=20)
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
    assert "one message" in error.details()


def test_a_call_that_takes_longer_than_the_limit_is_not_ended_once_its_message_is_there() -> None:
    watch, begun = MessageWatch(seconds=0.2), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        server = grpc.server(pool)

        def slow(message: bytes, context: grpc.ServicerContext) -> bytes:
            begun.wait(1.0)  # nobody sets it
            return message

        handlers = {"Double": watch.handler(slow, read=bytes)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("s", handlers),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        with grpc.insecure_channel(f"127.0.0.1:{port}") as opened:
            assert opened.unary_unary(METHOD, bytes, bytes)(b"x", timeout=20) == b"x"
        server.stop(None).wait()
