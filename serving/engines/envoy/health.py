"""Envoy's own view of the model servers: which of them it would send a request to.

`membership_healthy` counts the hosts of a cluster that passed their last health check and are not
ejected. Each of a model's servers is one host in one cluster per protocol.
"""

from __future__ import annotations

from urllib.parse import quote

from serving.engines.envoy.names import PROTOS, cluster_name
from serving.ports import Role
from streaming.contracts.errors import UnavailableError

_ROLES: tuple[Role, ...] = ("stable", "control", "canary")
HEALTHY_HOSTS = quote(
    rf"^cluster\.({'|'.join(_ROLES)})_({'|'.join(PROTOS)})__[^.]*\.membership_healthy$", safe=""
)
"""A filter of Envoy's statistics as it stands in a URL: the servers' clusters of all models."""


def read_health(statistics: str, model: str) -> tuple[Role, ...]:
    """The roles whose server is healthy in the clusters of every protocol.

    Parameters
    ----------
    statistics:
        Lines ``cluster.NAME.membership_healthy: NUMBER``.
    model:
        The model's name.

    Raises
    ------
    UnavailableError
        When no server of the model is among them.

    Examples
    --------
    A server that Envoy can reach by one protocol only is not healthy:

    >>> lines = [f"cluster.stable_{proto}__m.membership_healthy: 1" for proto in ("rest", "grpc")]
    >>> read_health("\\n".join(lines), "m"), read_health(lines[0], "m")
    (('stable',), ())
    """
    hosts = {}
    for line in statistics.splitlines():
        name, _, count = line.rpartition(": ")
        hosts[name.removeprefix("cluster.").removesuffix(".membership_healthy")] = count.strip()
    names = {cluster_name(role, proto, model) for role in _ROLES for proto in PROTOS}
    if names.isdisjoint(hosts):
        raise UnavailableError(
            f"Envoy says nothing about the health of the servers of {model}; it has no clusters of "
            f"this model yet, or its statistics are others than expected: {statistics[:200]!r}.",
            delay_seconds=0.2,
        )
    return tuple(
        role
        for role in _ROLES
        if all(
            hosts.get(cluster_name(role, proto, model), "0") not in ("", "0") for proto in PROTOS
        )
    )
