"""A socket that strangers could reach is found; the tests of the whole stack look for one."""

from __future__ import annotations

import signal
import subprocess
import sys

import psutil
import pytest

from tests.deploy.local.exposed import listening, open_to_network


@pytest.mark.parametrize("address", ["0.0.0.0", "::"])
def test_a_socket_on_every_address_is_seen(address: str) -> None:
    code = (
        "import socket, sys; family = socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET;"
        "server = socket.create_server((sys.argv[1], 0), family=family);"
        "print(server.getsockname()[1], flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, address]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        port = int(child.stdout.readline())
        exposed = open_to_network(listening([psutil.Process(child.pid)]))
        child.send_signal(signal.SIGTERM)
    assert [(socket[0], socket[1]) for socket in exposed] == [(address, port)]
