"""Beam's KafkaIO for the job's stack: its jars on every class path, and expansion services.

KafkaIO is Java. An expansion service turns it into a part of a Python pipeline. Where that part
runs is a setting: in a Java harness of its own, as Beam's container does by default
(`SHIPPED`, the container's own entry point without the container), or inside the TaskManager
(`EMBEDDED`, `NATIVE`: environment EMBEDDED), the fastest way that Beam has.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from deploy.config.paths import InstallPaths
from deploy.config.port_map import HOST, PortMap
from deploy.local.flink import unstaged
from deploy.local.process_spec import ProcessSpec, Tcp
from deploy.setup import jars, java

LOCK = Path(__file__).with_name("kafkaio.lock")
SHIPPED, EMBEDDED, NATIVE = "beam-expansion", "beam-expansion-embedded", "beam-expansion-native"
"""Beam's default, the same inside the TaskManager, and reading by Flink itself (Beam's deprecated
read)."""
HARNESS = "beam-java-harness"
PROCESSES = (HARNESS, SHIPPED, EMBEDDED, NATIVE)


def kafkaio_jars(install_paths: InstallPaths) -> list[Path]:
    """KafkaIO and its client, fetched when missing. Beam stages them: an expansion needs a jar."""
    folder = install_paths.opt / "competitors" / "kafkaio"
    jars.install("kafkaio", folder, install_paths, lock=LOCK)
    return sorted(folder.glob("*.jar"))


def expansion_port(ports: PortMap, name: str) -> int:
    """A port near that of the job server's own expansion service, which has no KafkaIO."""
    return ports.jobserver_expansion - 10 - PROCESSES.index(name)


def with_kafkaio(
    specs: Sequence[ProcessSpec], ports: PortMap, install_paths: InstallPaths
) -> list[ProcessSpec]:
    """The same processes with KafkaIO on the class path of each JVM of Flink and Beam."""
    more = ":".join(map(str, kafkaio_jars(install_paths)))
    classes = f"{unstaged(install_paths)}/*{os.pathsep}{more}"
    widened = [_wider(spec, more) for spec in specs]
    services = (
        expansion(name, ports, install_paths, classes) for name in (SHIPPED, EMBEDDED, NATIVE)
    )
    return [*widened, harness(ports, install_paths, classes), *services]


def _wider(spec: ProcessSpec, more: str) -> ProcessSpec:
    if "-cp" not in spec.argv or spec.name == "kafka":
        return spec
    at = spec.argv.index("-cp") + 1
    argv = (*spec.argv[:at], f"{spec.argv[at]}{os.pathsep}{more}", *spec.argv[at + 1 :])
    return replace(spec, argv=argv)


def harness(ports: PortMap, install_paths: InstallPaths, classes: str) -> ProcessSpec:
    """Beam's Java worker pool, the entry point of its container."""
    port = expansion_port(ports, HARNESS)
    where = f"external_service_address={HOST}:{port}"
    return ProcessSpec(
        name=HARNESS,
        argv=(
            str(java.program(install_paths)),
            "-Xmx1g",
            "-cp",
            classes,
            "org.apache.beam.fn.harness.ExternalWorkerService",
        ),
        env={
            "PIPELINE_OPTIONS": json.dumps({"beam:option:environment_options:v1": [where]}),
        },
        ready=Tcp(port=port),
        address=f"{HOST}:{port}",
    )


def expansion(name: str, ports: PortMap, install_paths: InstallPaths, classes: str) -> ProcessSpec:
    """One of the services."""
    port = expansion_port(ports, name)
    where: tuple[str, ...] = ("--defaultEnvironmentType=EMBEDDED",)
    if name == SHIPPED:
        pool = f"{HOST}:{expansion_port(ports, HARNESS)}"
        where = ("--defaultEnvironmentType=EXTERNAL", f"--defaultEnvironmentConfig={pool}")
    if name == NATIVE:
        where = (*where, "--experiments=use_deprecated_read")
    return ProcessSpec(
        name=name,
        argv=(
            str(java.program(install_paths)),
            "-Xmx256m",
            "-cp",
            classes,
            "org.apache.beam.sdk.expansion.service.ExpansionService",
            str(port),
            "--javaClassLookupAllowlistFile=*",
            *where,
        ),
        ready=Tcp(port=port),
        address=f"{HOST}:{port}",
    )
