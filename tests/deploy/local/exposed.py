"""What strangers could reach of a stack: sockets, and files of its folder."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address
from pathlib import Path

import psutil

from deploy.local.stack import Stack


def processes_of(stack: Stack, *names: str) -> list[psutil.Process]:
    """The named processes (all without a name) and everything that they have started.

    Each leads a session of its own, which also holds what has lost its parent.
    """
    leaders = {
        status.pid
        for status in stack.status()
        if status.pid is not None and (not names or status.name in names)
    }
    members = {process for process in psutil.process_iter() if _session(process.pid) in leaders}
    for leader in leaders:
        members.update(psutil.Process(leader).children(recursive=True))
    return sorted(members, key=lambda process: process.pid)


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0


def listening(processes: Iterable[psutil.Process]) -> set[tuple[str, int, str]]:
    """Address, port and program of each TCP or UDP socket that strangers could send to."""
    sockets = set()
    for process in processes:
        try:
            program = process.name()
            connections = process.net_connections("inet")
        except psutil.NoSuchProcess:
            continue
        for connection in connections:
            if connection.status == psutil.CONN_LISTEN or (
                connection.status == psutil.CONN_NONE and not connection.raddr
            ):
                sockets.add((connection.laddr.ip, connection.laddr.port, program))
    return sockets


def open_to_network(sockets: Iterable[tuple[str, int, str]]) -> list[tuple[str, int, str]]:
    """Those that are not bound to a loopback address."""
    return sorted(socket for socket in sockets if not _is_loopback(socket[0]))


def _is_loopback(address: str) -> bool:
    ip = ip_address(address)
    mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
    return (mapped or ip).is_loopback


def readable_by_others(folder: Path) -> list[Path]:
    """Files and folders that group or others may read, write or enter, if they still exist."""
    paths = [folder]
    for parent, folders, files in os.walk(folder):
        paths += [Path(parent, name) for name in (*folders, *files)]
    readable = []
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            if path.lstat().st_mode & 0o077:
                readable.append(path)
    return readable
