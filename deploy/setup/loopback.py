"""Makes two servers inside the Java engines listen on the loopback address only.

Neither has an option for it, and each would listen on every address of the machine:

- Beam's `ServerFactory` uses the port of the address that it is given, not the host. Its job
  server's ports run any pipeline that is sent to them, and so do the ports that a TaskManager opens
  for each job.
- Flink's Prometheus reporter knows a port only.

The two classes are taken out of the installed jars, changed and written to a small jar, which comes
before the others on the class path; the installed jars stay as they are. A Java compiler is not
needed. A class with another digest than the known one is refused.
"""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from deploy.config.paths import InstallPaths
from deploy.setup import class_file, flink, jars, stamps
from deploy.setup.class_file import (
    ALOAD_0,
    ALOAD_1,
    DUP,
    ICONST_3,
    INVOKESPECIAL,
    INVOKESTATIC,
    INVOKEVIRTUAL,
    NEW,
    NOP,
    ClassFile,
    UnexpectedClassError,
)
from deploy.setup.screen import SetupFailed

_SOCKET_ADDRESS = "java/net/InetSocketAddress"
_GRPC = "org/apache/beam/vendor/grpc/v1p69p0/io/grpc"
_FIRST_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest that a jar can hold


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """A class of an installed jar and how it is changed."""

    name: str
    """Binary name of the class, with slashes."""
    sha256: str
    """Digest of the only content that the change was made for."""
    source: Callable[[InstallPaths], Path]
    """The jar that contains it."""
    change: Callable[[ClassFile], None]


def reporter_jar(install_paths: InstallPaths) -> Path:
    """Flink's Prometheus reporter, in the folder of Flink's plugins."""
    folder = install_paths.flink / "plugins" / "metrics-prometheus"
    return folder / "flink-metrics-prometheus-1.19.3.jar"


def jar(install_paths: InstallPaths) -> Path:
    """The jar with the changed classes; Beam stages no jar below `gradle/wrapper`."""
    folder = install_paths.opt / "loopback" / "gradle" / "wrapper"
    return folder / "driftline-loopback.jar"


def installed_jar(install_paths: InstallPaths) -> Path:
    """Like `jar`, for a class path: Java would pass over a missing file without a word.

    Raises
    ------
    SetupFailed
        When it is missing.
    """
    file = jar(install_paths)
    if not file.exists():
        raise SetupFailed(
            f"{file} is missing. Without it the engines would listen on every address of this "
            "machine; run `make setup`."
        )
    return file


def bind_given_address(server_factory: ClassFile) -> None:
    """`NettyServerBuilder.forPort(socket.getPort())` becomes `.forAddress(socket)`."""
    builder = f"{_GRPC}/netty/NettyServerBuilder"
    get_port, for_port = b"\x00\xa0", b"\x00\xa6"
    address = server_factory.method_reference(
        builder, "forAddress", f"(Ljava/net/SocketAddress;)L{builder};"
    )
    server_factory.replace_beginning(
        "createServer",
        f"(Ljava/util/List;L{_SOCKET_ADDRESS};)L{_GRPC}/Server;",
        old=ALOAD_1 + INVOKEVIRTUAL + get_port + INVOKESTATIC + for_port,
        new=ALOAD_1 + NOP * 3 + INVOKESTATIC + address,
        stack=2,
    )


def bind_loopback(http_server: ClassFile) -> None:
    """In place of `address`, `new InetSocketAddress(getLoopbackAddress(), address.getPort())`."""
    method = http_server.method_reference
    socket_address = http_server.class_reference(_SOCKET_ADDRESS)
    loopback = method("java/net/InetAddress", "getLoopbackAddress", "()Ljava/net/InetAddress;")
    get_port = method(_SOCKET_ADDRESS, "getPort", "()I")
    create = method(_SOCKET_ADDRESS, "<init>", "(Ljava/net/InetAddress;I)V")
    address = NEW + socket_address + DUP + INVOKESTATIC + loopback
    address += ALOAD_1 + INVOKEVIRTUAL + get_port + INVOKESPECIAL + create
    http_server.replace_beginning(
        "<init>",
        f"(L{_SOCKET_ADDRESS};Lio/prometheus/client/CollectorRegistry;Z)V",
        old=ALOAD_0 + ALOAD_1 + ICONST_3,
        new=ALOAD_0 + address + ICONST_3,
        stack=5,
    )


PATCHES = (
    Patch(
        name="org/apache/beam/sdk/fn/server/ServerFactory$InetSocketAddressServerFactory",
        sha256="93b5a86013416deb22c25aef442c20d57cc5aec9ae73d000ddb667601ef45f2c",
        source=lambda paths: paths.beam / "beam-sdks-java-core-2.70.0.jar",
        change=bind_given_address,
    ),
    Patch(
        name="io/prometheus/client/exporter/HTTPServer",
        sha256="b83e0fef6c65e49ddd249b2113a34ee8b65e09832b45f3305b84befe6a356455",
        source=reporter_jar,
        change=bind_loopback,
    ),
)


def made_from() -> str:
    """The stamp's content."""
    code = (Path(__file__), Path(class_file.__file__))
    return stamps.digest(*code, jars.made_from("beam"), flink.made_from())


def install(install_paths: InstallPaths) -> str:
    """Write the jar with the changed classes.

    Raises
    ------
    SetupFailed
        When a class is missing, or is not the one that its change was made for.
    """
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for patch in PATCHES:
            entry = zipfile.ZipInfo(f"{patch.name}.class", _FIRST_DATE)
            archive.writestr(entry, patched(patch, patch.source(install_paths)))
    target = jar(install_paths)
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f".{target.name}.fresh")
    fresh.write_bytes(content.getvalue())
    os.replace(fresh, target)
    return f"{len(PATCHES)} servers of the Java engines listen on the loopback address only"


def patched(patch: Patch, source: Path) -> bytes:
    """The changed class from the jar `source`.

    Raises
    ------
    SetupFailed
        When the jar does not have the class, or has another one.
    """
    try:
        with zipfile.ZipFile(source) as archive:
            content = archive.read(f"{patch.name}.class")
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise SetupFailed(f"{source} does not have the class {patch.name}: {error}") from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != patch.sha256:
        raise SetupFailed(
            f"The class {patch.name} in {source.name} has digest {digest[:12]}…, not "
            f"{patch.sha256[:12]}…, so it cannot be made to listen on the loopback address only. "
            "Adapt deploy/setup/loopback.py to this version of the jar."
        )
    changed = ClassFile(content)
    try:
        patch.change(changed)
    except UnexpectedClassError as error:
        raise SetupFailed(f"The class {patch.name} cannot be changed: {error}") from error
    return changed.to_bytes()
