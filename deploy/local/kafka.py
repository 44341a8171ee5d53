"""The broker: Kafka 4.1 in KRaft mode, one node."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from string import Template

from deploy.config.atomic_file import write_atomic
from deploy.config.paths import PROJECT, InstallPaths
from deploy.config.port_map import HOST, PortMap
from deploy.local.memory import FIRST_COMPILER_ONLY
from deploy.local.process_spec import Kafka, ProcessSpec, SetupCommand
from deploy.setup import java

TEMPLATES = PROJECT / "deploy" / "kafka"
HEAP_MEGABYTES = 512


def cluster_id(home: Path) -> str:
    """A cluster id derived from the folder, in Kafka's format (16 bytes, url-safe base64).

    >>> len(cluster_id(Path("/srv/driftline")))
    22
    """
    uuid = hashlib.sha256(str(home).encode()).digest()[:16]
    return base64.urlsafe_b64encode(b"\x00" + uuid[1:]).decode().rstrip("=")


def configuration(home: Path, ports: PortMap) -> str:
    """The text of server.properties."""
    template = Template((TEMPLATES / "server.properties").read_text())
    return template.substitute(ports.named(), host=HOST, data=home / "data" / "kafka")


def write_config(home: Path, ports: PortMap) -> Path:
    """Render the broker's configuration into the home; returns its path."""
    file = home / "kafka" / "server.properties"
    write_atomic(file, configuration(home, ports))
    return file


def spec(home: Path, ports: PortMap, install_paths: InstallPaths) -> ProcessSpec:
    """The broker's process; it formats its storage before the first start."""
    config = str(home / "kafka" / "server.properties")
    run = (
        str(java.program(install_paths)),
        f"-Xms{HEAP_MEGABYTES}m",
        f"-Xmx{HEAP_MEGABYTES}m",
        "-XX:+UseSerialGC",
        FIRST_COMPILER_ONLY,
        "-XX:+ExitOnOutOfMemoryError",
        f"-Dlog4j2.configurationFile={TEMPLATES / 'log4j2.properties'}",
        "-cp",
        f"{install_paths.kafka}/*",
    )
    tool = ("kafka.tools.StorageTool", "format", "--standalone", "--ignore-formatted")
    return ProcessSpec(
        name="kafka",
        argv=(*run, "kafka.Kafka", config),
        ready=Kafka(port=ports.kafka),
        address=f"{HOST}:{ports.kafka}",
        setup_command=SetupCommand(
            argv=(*run, *tool, "--cluster-id", cluster_id(home), "--config", config),
            creates=str(home / "data" / "kafka" / "meta.properties"),
        ),
        config_files=(config,),
        stop_seconds=20.0,
    )
