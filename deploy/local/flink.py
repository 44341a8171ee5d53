"""The Flink cluster and Beam's two helpers: job server and Python worker pool.

All listen on the loopback address only, because what is sent to Flink or Beam is run. Two servers
in their jars have no setting for that, so changed classes of `deploy.setup.loopback` come first on
the class path.

Beam's jars lie on the cluster's own class path and the job server stages none: a submit moves
kilobytes instead of 160 MB, and job restarts load no class twice. Beam stages every jar on the
job server's class path except those with `gradle/wrapper` in their path (its
PipelineResources.isStageable), hence the folder of that name.
"""

from __future__ import annotations

import os
from pathlib import Path
from string import Template

from deploy.app.answers import GET_JOBS, STOP_WORKER
from deploy.config.atomic_file import write_atomic
from deploy.config.paths import PROJECT, InstallPaths
from deploy.config.port_map import HOST, PortMap
from deploy.local.memory import FIRST_COMPILER_ONLY, TaskMemory
from deploy.local.process_spec import Grpc, Http, ProcessSpec, TaskManager
from deploy.setup import java, loopback

TEMPLATES = PROJECT / "deploy" / "flink"
SLOTS = 4
RESOURCE_ID = "local"
JOBMANAGER_MEGABYTES = 1024
JOBMANAGER_HEAP_MEGABYTES = 512
JOBSERVER_HEAP_MEGABYTES = 512
# What Flink's and Kryo's reflection needs on Java 17 (from Flink's own default configuration).
_OPENS = (
    "java.base/java.lang",
    "java.base/java.lang.invoke",
    "java.base/java.lang.reflect",
    "java.base/java.math",
    "java.base/java.net",
    "java.base/java.io",
    "java.base/java.nio",
    "java.base/sun.nio.ch",
    "java.base/java.text",
    "java.base/java.time",
    "java.base/java.util",
    "java.base/java.util.concurrent",
    "java.base/java.util.concurrent.atomic",
    "java.base/java.util.concurrent.locks",
)
_EXPORTS = (
    "java.base/sun.net.util",
    "java.rmi/sun.rmi.registry",
    "java.security.jgss/sun.security.krb5",
)
# Flink brings these itself, in its own versions.
_FLINKS_OWN = ("flink-", "slf4j-", "log4j-")


def configuration(home: Path, ports: PortMap, memory: TaskMemory | None = None) -> str:
    """The text of the cluster's config.yaml."""
    parts = (memory or TaskMemory()).settings()
    data = home / "data"
    return Template((TEMPLATES / "config.yaml").read_text()).substitute(
        ports.named(),
        host=HOST,
        slots=SLOTS,
        checkpoints=f"file://{data / 'checkpoints'}",
        savepoints=f"file://{data / 'savepoints'}",
        tmp=home / "run" / "flink",
        jobmanager_megabytes=JOBMANAGER_MEGABYTES,
        jobmanager_heap_megabytes=JOBMANAGER_HEAP_MEGABYTES,
        memory="\n".join(f"{name}: {value}" for name, value in parts.items()),
    )


def write_config(home: Path, ports: PortMap) -> Path:
    """Render the cluster's configuration into the home; returns the folder."""
    folder = home / "flink"
    write_atomic(folder / "config.yaml", configuration(home, ports))
    for name in ("run/flink", "flink/plugins", "data/checkpoints", "data/savepoints"):
        (home / name).mkdir(parents=True, exist_ok=True)
    return folder


def cluster_classpath(install_paths: InstallPaths) -> str:
    """The changed classes, Flink's own jars, then Beam's without the ones that Flink brings.

    The metrics reporter is on it too: as a plugin it would not see the changed classes.
    """
    own = [loopback.installed_jar(install_paths), f"{install_paths.flink}/lib/*"]
    own.append(loopback.reporter_jar(install_paths))
    beam = sorted(install_paths.beam.glob("*.jar"))
    jars = [str(jar) for jar in beam if not jar.name.startswith(_FLINKS_OWN)]
    return os.pathsep.join([*map(str, own), *jars])


def unstaged(install_paths: InstallPaths) -> Path:
    """The folder whose jars Beam does not stage; hard links, because it resolves symbolic ones."""
    folder = install_paths.opt / "unstaged" / "gradle" / "wrapper"
    folder.mkdir(parents=True, exist_ok=True)
    jars = {jar.name: jar for jar in install_paths.beam.glob("*.jar")}
    for link in folder.iterdir():
        jar = jars.get(link.name)
        if jar is None or not jar.samefile(link):
            link.unlink()
    for name, jar in jars.items():
        if not (folder / name).exists():
            os.link(jar, folder / name)
    return folder


def _java(install_paths: InstallPaths, *flags: str) -> tuple[str, ...]:
    opens = [f"--add-opens={name}=ALL-UNNAMED" for name in _OPENS]
    exports = [f"--add-exports={name}=ALL-UNNAMED" for name in _EXPORTS]
    return (
        str(java.program(install_paths)),
        *flags,
        *opens,
        *exports,
        "-XX:+ExitOnOutOfMemoryError",
    )


def _logging() -> tuple[str, ...]:
    file = TEMPLATES / "log4j2.properties"
    return (f"-Dlog4j.configurationFile={file}", f"-Dlog4j2.configurationFile={file}")


def jobmanager(home: Path, ports: PortMap, install_paths: InstallPaths) -> ProcessSpec:
    """The JobManager."""
    heap = f"{JOBMANAGER_HEAP_MEGABYTES}m"
    limits = (f"-Xms{heap}", f"-Xmx{heap}", "-XX:MaxMetaspaceSize=256m")
    flags = (*limits, "-XX:+UseSerialGC", FIRST_COMPILER_ONLY)
    return ProcessSpec(
        name="flink-jobmanager",
        argv=(
            *_java(install_paths, *flags),
            *_logging(),
            "-cp",
            cluster_classpath(install_paths),
            "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint",
            "--configDir",
            str(home / "flink"),
        ),
        env=_flink_env(home, install_paths),
        ready=Http(port=ports.flink_rest, path="/overview", matches='"flink-version"'),
        address=f"http://{HOST}:{ports.flink_rest}",
        config_files=(str(home / "flink" / "config.yaml"),),
    )


def taskmanager(home: Path, ports: PortMap, install_paths: InstallPaths) -> ProcessSpec:
    """The TaskManager.

    Only a few window accumulators pass through it per second, not events. The second compiler and
    concurrent collection would cost more than they save (0.9 s, not 0.5 s, for 300,000 events).
    """
    return ProcessSpec(
        name="flink-taskmanager",
        argv=(
            *_java(
                install_paths, *TaskMemory().java_flags(), "-XX:+UseSerialGC", FIRST_COMPILER_ONLY
            ),
            *_logging(),
            "-cp",
            cluster_classpath(install_paths),
            "org.apache.flink.runtime.taskexecutor.TaskManagerRunner",
            "--configDir",
            str(home / "flink"),
            "-D",
            f"taskmanager.resource-id={RESOURCE_ID}",
        ),
        env=_flink_env(home, install_paths),
        ready=TaskManager(
            port=ports.flink_rest, own_port=ports.flink_worker_rpc, resource_id=RESOURCE_ID
        ),
        depends=("flink-jobmanager",),
        wait_for_dependencies=False,  # it retries until the JobManager answers
        address=f"{HOST}:{ports.flink_worker_rpc}",
        config_files=(str(home / "flink" / "config.yaml"),),
    )


def jobserver(home: Path, ports: PortMap, install_paths: InstallPaths) -> ProcessSpec:
    """Takes pipelines from Beam SDKs and submits them to the cluster."""
    heap = f"-Xmx{JOBSERVER_HEAP_MEGABYTES}m"
    return ProcessSpec(
        name="beam-jobserver",
        argv=(
            *_java(install_paths, heap, "-XX:+UseSerialGC", FIRST_COMPILER_ONLY),
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=info",
            "-Dorg.slf4j.simpleLogger.showDateTime=true",
            "-cp",
            f"{loopback.installed_jar(install_paths)}{os.pathsep}{unstaged(install_paths)}/*",
            "org.apache.beam.runners.flink.FlinkJobServerDriver",
            f"--flink-master={HOST}:{ports.flink_rest}",
            f"--job-host={HOST}",
            f"--job-port={ports.jobserver}",
            f"--artifact-port={ports.jobserver_artifacts}",
            f"--expansion-port={ports.jobserver_expansion}",
            f"--artifacts-dir={home / 'data' / 'staging'}",
            f"--flink-conf-dir={home / 'flink'}",
        ),
        ready=Grpc(port=ports.jobserver, method=GET_JOBS),
        depends=("flink-jobmanager",),
        wait_for_dependencies=False,  # it calls the JobManager at the first submit
        address=f"{HOST}:{ports.jobserver}",
    )


def workers(home: Path, ports: PortMap, install_paths: InstallPaths) -> ProcessSpec:
    """The pool that starts the Python workers of a job."""
    return ProcessSpec(
        name="beam-workers",
        argv=(
            str(install_paths.python),
            "-m",
            "streaming.engines.flink.worker_pool",
            f"--host={HOST}",
            f"--port={ports.workers}",
        ),
        ready=Grpc(port=ports.workers, method=STOP_WORKER),
        address=f"{HOST}:{ports.workers}",
        env={"PYTHONWARNINGS": "ignore::FutureWarning"},
    )


def _flink_env(home: Path, install_paths: InstallPaths) -> dict[str, str]:
    return {
        "FLINK_HOME": str(install_paths.flink),
        "FLINK_LIB_DIR": str(install_paths.flink / "lib"),
        "FLINK_PLUGINS_DIR": str(home / "flink" / "plugins"),  # empty: see cluster_classpath
        "FLINK_CONF_DIR": str(home / "flink"),
    }
