"""Where the console may listen: anywhere but on loopback it needs a sign-in and TLS."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from urllib.parse import urlsplit

from deploy.config.access_checks import LOOPBACK
from deploy.config.access_settings import AccessSettings
from deploy.console.security import Transport, loopback_hosts
from streaming.contracts.errors import ConfigurationError


def check_address(host: str, access: AccessSettings) -> None:
    """Refuse an address, or a way to it, over which anybody could act or read passwords.

    Raises
    ------
    ConfigurationError
        When other machines could reach the console and it has no sign-in, no TLS or no name.
    """
    name = urlsplit(access.address).hostname
    reached = host not in LOOPBACK or access.proxy or (name is not None and name not in LOOPBACK)
    if not reached:
        return
    if access.sign_in == "none":
        raise ConfigurationError(
            f"--host {host}: the console has no sign-in, so whoever reaches it could approve a "
            "version. Set access.sign_in and access.roles, or let it listen on 127.0.0.1 and use "
            "`ssh -L 8580:127.0.0.1:8580 HOST` from elsewhere."
        )
    if not access.address:
        raise ConfigurationError(
            f"--host {host}: access.address must say under which address browsers reach the "
            "console; requests under other names are refused."
        )
    if not access.address.startswith("https://") or not (access.certificate_file or access.proxy):
        raise ConfigurationError(
            f"--host {host}: without TLS passwords and sessions could be read on the way. Set "
            "access.certificate_file and access.key_file, or access.proxy for a proxy that ends "
            "TLS, and an access.address with https."
        )


def gateway(routes: Path = Path("/proc/net/route")) -> str:
    """Address of the machine that runs this container: the gateway of the default route.

    Docker sends it what reaches a published port on the machine's loopback address.

    Raises
    ------
    ConfigurationError
        When there is no default route.
    """
    for line in routes.read_text().splitlines()[1:]:
        _, destination, hop, *_ = line.split()
        if destination == "00000000" and hop != "00000000":
            return str(ipaddress.IPv4Address(bytes.fromhex(hop)[::-1]))
    raise ConfigurationError(
        "--in-container: there is no default route, so the machine that runs the container is not "
        "known. Use --in-container in a container of a bridge network only."
    )


def transport(
    access: AccessSettings, port: int, *, clients: frozenset[str] = frozenset()
) -> Transport:
    """How requests reach a console with these settings.

    Parameters
    ----------
    clients:
        The only addresses that are answered, besides this machine's own and the proxies; empty for
        all.
    """
    hosts = loopback_hosts(port)
    if access.address:
        hosts |= {urlsplit(access.address).netloc.lower()}
    proxies = frozenset(filter(None, access.proxy.split(",")))
    return Transport(
        hosts=hosts,
        proxies=proxies,
        clients=clients,
        secure=access.address.startswith("https://"),
    )
