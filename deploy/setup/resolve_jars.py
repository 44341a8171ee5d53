"""Writes `deploy/setup/jars.lock`: the jars of the broker and the job server, with digests.

For maintainers, after a change of a version in `ROOTS`:
``.venv/bin/python -m deploy.setup.resolve_jars``.
It needs Maven (`mvn`), which resolves the transitive dependencies; the installer needs only the
lock. Maven checks its downloads against the repository's checksums, and the lock pins them.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from xml.sax.saxutils import escape

from deploy.setup import jars
from deploy.setup.screen import SetupFailed, show_line

_BEAM = (
    "beam-runners-flink-1.19",
    "beam-sdks-java-core",
    "beam-runners-core-java",
    "beam-runners-java-fn-execution",
    "beam-sdks-java-harness",
    "beam-sdks-java-expansion-service",
    "beam-model-pipeline",
    "beam-model-fn-execution",
    "beam-model-job-management",
)
ROOTS: dict[str, tuple[str, ...]] = {
    "kafka": (
        "org.apache.kafka:kafka_2.13:4.1.0",
        "org.apache.logging.log4j:log4j-slf4j-impl:2.24.3",
    ),
    "beam": (
        *(f"org.apache.beam:{name}:2.70.0" for name in _BEAM),
        # 2.70.0 of this one is not published; both use the same vendored gRPC
        "org.apache.beam:beam-runners-java-job-service:2.65.0",
        "com.github.jbellis:jamm:0.4.0",
        "org.slf4j:slf4j-api:1.7.36",
        "org.slf4j:slf4j-simple:1.7.36",
    ),
}
EXCLUDED_GROUP = "io.confluent"  # not in Maven Central, and only KafkaIO's registry wants it


def pom(roots: tuple[str, ...]) -> str:
    """A Maven project that depends on the roots and nothing else."""
    dependencies = "".join(_dependency(root) for root in roots)
    return (
        "<project><modelVersion>4.0.0</modelVersion><groupId>driftline</groupId>"
        "<artifactId>engines</artifactId><version>1</version>"
        f"<dependencies>{dependencies}</dependencies></project>"
    )


def _dependency(root: str) -> str:
    group, artifact, version = (escape(part) for part in root.split(":"))
    return (
        f"<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>"
        f"<version>{version}</version><exclusions><exclusion><groupId>{EXCLUDED_GROUP}</groupId>"
        "<artifactId>*</artifactId></exclusion></exclusions></dependency>"
    )


def resolve(engine: str) -> list[jars.Jar]:
    """Resolve the transitive dependencies of one engine's roots with Maven."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "pom.xml").write_text(pom(ROOTS[engine]))
        command = ["mvn", "-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime"]
        command += ["-Dmdep.useRepositoryLayout=true", "-DoutputDirectory=out"]
        completed = subprocess.run(command, cwd=folder, check=False)
        if completed.returncode != 0:
            raise SetupFailed(f"Maven could not resolve {engine}; its messages are above.")
        root = Path(folder, "out")
        return [_jar(engine, root, file) for file in sorted(root.rglob("*.jar"))]


def _jar(engine: str, root: Path, file: Path) -> jars.Jar:
    *group, artifact, version, name = file.relative_to(root).parts
    if name != f"{artifact}-{version}.jar":
        raise SetupFailed(f"{name} has a classifier, which the lock cannot hold.")
    return jars.Jar(
        engine=engine,
        coordinates=f"{'.'.join(group)}:{artifact}:{version}",
        size=file.stat().st_size,
        sha256=jars.file_digest(file),
    )


def main() -> int:
    """Write the lock."""
    resolved = [jar for engine in ROOTS for jar in resolve(engine)]
    jars.LOCK.write_text(jars.to_text(resolved))
    megabytes = sum(jar.size for jar in resolved) / 1e6
    show_line(f"{jars.LOCK.name}: {len(resolved)} jars, {megabytes:.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
