"""The console's first page with many models, as the command serves it, and its memory."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import yaml

from deploy.app.deployment import Deployment
from deploy.config import loader
from deploy.projection.current import projection_folder
from tests.engine_ports import port_offset

PORT = port_offset(581)
ROUNDS = 40
START_SECONDS = 120.0
PICTURES = 8
"""Pictures that are drawn before the memory is read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstPage:
    """What was measured."""

    seconds: tuple[float, ...]
    """Until the whole page had come, for each request of one client on this machine."""
    cpu_seconds: float
    """Processor time of the console's process for each of them."""
    page_bytes: int
    console_bytes: int
    """Resident memory of the console's process, after pages and pictures."""
    drawing_bytes: int
    """Resident memory of the processes that it began."""


def configuration(folder: Path, models: list[str]) -> Path:
    """The demonstration's settings with these models, in a folder of their own."""
    settings = yaml.safe_load((Path(loader.__file__).parent / "demo.yaml").read_text())
    (model,) = settings["models"].values()
    topics = {name: entry for name, entry in model.items() if "topic" in entry}
    settings["models"] = {
        name: {**model}
        | {key: {**entry, "topic": f"{name}.{key}"} for key, entry in topics.items()}
        for name in models
    }
    settings["local"] = {**settings.get("local", {}), "served_models": []}
    settings["kafka"] = {"bootstrap": f"127.0.0.1:{PORT + 1}"}  # nothing is there
    file = folder / "driftline.yaml"
    file.write_text(yaml.dump(settings))
    return file


def place_of(file: Path) -> Path:
    """Where the console of a file looks for its projection."""
    deployment = Deployment.load(file)
    return projection_folder(deployment.home, deployment.bootstrap)


def measure(file: Path, model: str) -> FirstPage:
    """Ask a console that has a full projection; it needs no Kafka for that."""
    with serving(file) as (process, client):
        seconds = []
        client.get("/").raise_for_status()
        cpu = _cpu_seconds(process.pid)
        for _ in range(ROUNDS):
            begun = time.perf_counter()
            page = client.get("/")
            seconds.append(time.perf_counter() - begun)
            page.raise_for_status()
        cpu = (_cpu_seconds(process.pid) - cpu) / ROUNDS
        for _ in range(PICTURES):
            client.get(f"/models/{model}").raise_for_status()
        client.get(f"/pictures/{model}/course.svg").raise_for_status()
        return FirstPage(
            seconds=tuple(seconds),
            cpu_seconds=cpu,
            page_bytes=len(page.content),
            console_bytes=_resident(process.pid),
            drawing_bytes=sum(map(_resident, _children(process.pid))),
        )


@contextmanager
def serving(file: Path) -> Iterator[tuple[subprocess.Popen[bytes], httpx.Client]]:
    """`driftline console`, once it answers."""
    command = [sys.executable, "-m", "deploy.cli.main", "-c", str(file), "console"]
    with (
        (file.parent / "console.log").open("wb") as log,
        subprocess.Popen([*command, "--port", str(PORT)], stdout=log, stderr=log) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{PORT}", timeout=60.0) as client,
    ):
        try:
            deadline = time.monotonic() + START_SECONDS
            while not _answers(client):
                if time.monotonic() > deadline or process.poll() is not None:
                    raise RuntimeError(f"The console does not answer; see {log.name}.")
                time.sleep(0.5)
            yield process, client
        finally:
            process.terminate()


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/health").status_code == 200
    except httpx.TransportError:
        return False


def _cpu_seconds(process: int) -> float:
    """Processor time that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident(process: int) -> int:
    """Bytes of resident memory; 0 when it has ended."""
    try:
        pages = Path(f"/proc/{process}/statm").read_text().split()[1]
    except FileNotFoundError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def _children(process: int) -> list[int]:
    own = Path(f"/proc/{process}/task")
    return [
        child
        for task in own.iterdir()
        for child in map(int, (task / "children").read_text().split())
    ]
