"""However the console ends, nothing of it stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.deploy.cli.runner import DEMO
from tests.engine_ports import port_offset
from tests.waiting import wait_for

PORT = port_offset(582)
_DRAWING = """
import asyncio, os, pathlib, sys
from deploy.console.pictures import Pictures

async def begin():
    pictures = Pictures(pathlib.Path(sys.argv[1]))
    print((await pictures._drawn_once(("pid",), os.getpid)), flush=True)

asyncio.run(begin())
sys.stdin.read()
"""


def runs(process: int) -> bool:
    """Whether a process runs; one that has ended and was not fetched does not."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_the_drawing_process_ends_with_a_console_that_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _DRAWING, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as console:
        assert console.stdout is not None
        drawing = int(console.stdout.readline())
        assert runs(drawing)
        console.kill()
    wait_for(lambda: not runs(drawing), 30.0)


@pytest.mark.engine
def test_a_console_that_is_asked_to_end_closes_what_is_open(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "DRIFTLINE_HOME": str(tmp_path),
        "DRIFTLINE__KAFKA__BOOTSTRAP": f"127.0.0.1:{PORT + 1}",  # nothing is there
    }
    command = [sys.executable, "-m", "deploy.cli.main", "-c", str(DEMO), "console"]
    with subprocess.Popen([*command, "--port", str(PORT)], env=environment) as console:
        wait_for(lambda: answers(f"http://127.0.0.1:{PORT}/health"), 120.0)
        console.send_signal(signal.SIGTERM)
        assert console.wait(60.0) == 0


def answers(address: str) -> bool:
    try:
        return httpx.get(address).status_code == 200
    except httpx.TransportError:
        return False
