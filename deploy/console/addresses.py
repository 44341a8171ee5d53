"""Where the console may listen: anywhere but on loopback it needs a sign-in and TLS."""

from __future__ import annotations

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


def transport(access: AccessSettings, port: int) -> Transport:
    """How requests reach a console with these settings."""
    hosts = loopback_hosts(port)
    if access.address:
        hosts |= {urlsplit(access.address).netloc.lower()}
    proxies = frozenset(filter(None, access.proxy.split(",")))
    return Transport(hosts=hosts, proxies=proxies, secure=access.address.startswith("https://"))
