"""Beam's KafkaIO beside the job's stack: its jars on every class path, and an expansion service.

KafkaIO is Java. The expansion service turns it into a part of a Python pipeline; that part runs in
a Java harness inside the TaskManager (environment EMBEDDED), the shortest way that Beam has.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from deploy.local.flink import unstaged
from deploy.local.ports import HOST, Ports
from deploy.local.spec import ProcessSpec, Tcp
from deploy.setup import jars, java
from deploy.setup.places import Places

LOCK = Path(__file__).with_name("kafkaio.lock")
EXPANSION = "beam-expansion"


def kafkaio_jars(places: Places) -> list[Path]:
    """KafkaIO and its client, fetched when missing. Beam stages them: an expansion needs a jar."""
    folder = places.opt / "peers" / "kafkaio"
    jars.install("kafkaio", folder, places, lock=LOCK)
    return sorted(folder.glob("*.jar"))


def expansion_port(ports: Ports) -> int:
    """Beside the job server's own, which knows no KafkaIO environment."""
    return ports.jobserver_expansion - 10


def with_kafkaio(specs: Sequence[ProcessSpec], ports: Ports, places: Places) -> list[ProcessSpec]:
    """The same processes with KafkaIO on the class path of each JVM of Flink and Beam."""
    more = ":".join(map(str, kafkaio_jars(places)))
    found = [_wider(spec, more) for spec in specs]
    return [*found, _expansion(ports, places, more)]


def _wider(spec: ProcessSpec, more: str) -> ProcessSpec:
    if "-cp" not in spec.argv or spec.name == "kafka":
        return spec
    at = spec.argv.index("-cp") + 1
    argv = (*spec.argv[:at], f"{spec.argv[at]}{os.pathsep}{more}", *spec.argv[at + 1 :])
    return replace(spec, argv=argv)


def _expansion(ports: Ports, places: Places, more: str) -> ProcessSpec:
    return ProcessSpec(
        name=EXPANSION,
        argv=(
            str(java.program(places)),
            "-Xmx256m",
            "-cp",
            f"{unstaged(places)}/*{os.pathsep}{more}",
            "org.apache.beam.sdk.expansion.service.ExpansionService",
            str(expansion_port(ports)),
            "--javaClassLookupAllowlistFile=*",
            "--defaultEnvironmentType=EMBEDDED",
            "--experiments=use_deprecated_read",
        ),
        ready=Tcp(port=expansion_port(ports)),
        address=f"{HOST}:{expansion_port(ports)}",
    )
