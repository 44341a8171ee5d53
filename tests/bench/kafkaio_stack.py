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
NATIVE, SHIPPED = "beam-expansion-native", "beam-expansion"
"""Reading by Flink itself (Beam's deprecated read), and as Beam reads when nothing is asked."""


def kafkaio_jars(places: Places) -> list[Path]:
    """KafkaIO and its client, fetched when missing. Beam stages them: an expansion needs a jar."""
    folder = places.opt / "peers" / "kafkaio"
    jars.install("kafkaio", folder, places, lock=LOCK)
    return sorted(folder.glob("*.jar"))


def expansion_port(ports: Ports, name: str) -> int:
    """Beside the job server's own, which knows no KafkaIO environment."""
    return ports.jobserver_expansion - (10 if name == NATIVE else 11)


def with_kafkaio(specs: Sequence[ProcessSpec], ports: Ports, places: Places) -> list[ProcessSpec]:
    """The same processes with KafkaIO on the class path of each JVM of Flink and Beam."""
    more = ":".join(map(str, kafkaio_jars(places)))
    found = [_wider(spec, more) for spec in specs]
    return [*found, *(expansion(name, ports, places, more) for name in (NATIVE, SHIPPED))]


def _wider(spec: ProcessSpec, more: str) -> ProcessSpec:
    if "-cp" not in spec.argv or spec.name == "kafka":
        return spec
    at = spec.argv.index("-cp") + 1
    argv = (*spec.argv[:at], f"{spec.argv[at]}{os.pathsep}{more}", *spec.argv[at + 1 :])
    return replace(spec, argv=argv)


def expansion(name: str, ports: Ports, places: Places, more: str) -> ProcessSpec:
    """One of the two services; `more` are KafkaIO's jars as a class path."""
    port = expansion_port(ports, name)
    how = ("--experiments=use_deprecated_read",) if name == NATIVE else ()
    return ProcessSpec(
        name=name,
        argv=(
            str(java.program(places)),
            "-Xmx256m",
            "-cp",
            f"{unstaged(places)}/*{os.pathsep}{more}",
            "org.apache.beam.sdk.expansion.service.ExpansionService",
            str(port),
            "--javaClassLookupAllowlistFile=*",
            "--defaultEnvironmentType=EMBEDDED",
            *how,
        ),
        ready=Tcp(port=port),
        address=f"{HOST}:{port}",
    )
