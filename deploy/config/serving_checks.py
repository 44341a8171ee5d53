"""Rules of `driftline.yaml` about models that would take each other's servers, names or ports."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from deploy.config.port_map import HOST, MAX_SERVED, MODEL_SERVERS, PortMap
from deploy.config.settings import Settings
from deploy.config.types import Problem
from serving.version_labels import RESERVED

MAX_NAME = 100
"""A model's name is part of the names of files, jobs and metrics, which may be 255 bytes long."""

_PATH = ("local", "served_models")
_LOCAL_HOSTS = (HOST, "localhost", "[::1]", "::1")


def served_models(settings: Settings) -> tuple[str, ...]:
    """The models that are served, in the order of their ports."""
    return tuple(dict.fromkeys(settings.local.served_models)) or tuple(settings.models)


def _served_models(settings: Settings) -> Iterator[Problem]:
    for name, times in Counter(settings.local.served_models).items():
        if name not in settings.models:
            near = difflib.get_close_matches(name, settings.models, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            yield _PATH, f"{name!r} names no model of this file.{hint}"
        if times > 1:
            yield _PATH, f"{name} is listed {times} times."
    count = len(served_models(settings))
    if count > MAX_SERVED:
        yield (
            _PATH,
            f"{count} models would be served; a deployment serves at most {MAX_SERVED}, because "
            "each has ports and servers of its own. List those that this one serves; the others "
            "are monitored, or served by a deployment with a file of its own.",
        )


def _ports_are_free(settings: Settings) -> Iterator[Problem]:
    """No address of the settings is a port on which a model server will listen."""
    served = served_models(settings)[:MAX_SERVED]
    ports = PortMap().shifted(settings.local.port_offset)
    owners = {
        port: served[place]
        for place in range(1, len(served))
        for role in MODEL_SERVERS
        for port in ports.model(role, place)
    }
    addresses = [(("kafka", "bootstrap"), part) for part in settings.kafka.bootstrap.split(",")]
    for name in type(settings.endpoints).model_fields:
        addresses.append((("endpoints", name), getattr(settings.endpoints, name)))
    for path, address in addresses:
        owner = owners.get(_local_port(address))
        if owner is not None:
            yield (
                path,
                f"{address.strip()} is a port of the model servers of {owner}; move that program, "
                "or the stack with local.port_offset.",
            )


def _local_port(address: str) -> int:
    """The port of an address on this machine; 0 for any other."""
    try:
        url = urlsplit(address.strip() if "//" in address else f"//{address.strip()}")
        return (url.port or 0) if (url.hostname or "") in _LOCAL_HOSTS else 0
    except ValueError:  # another check complains
        return 0


def _labels(settings: Settings) -> Iterator[Problem]:
    for name, model in settings.models.items():
        for label in model.version_labels:
            path = ("models", name, "version_labels")
            if label in RESERVED:
                yield path, f"{label} is the label of that arm already; choose another name."
            if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}", label):
                yield path, f"{label!r} is no label; use letters, digits, dots, - and _."


def _names_differ(settings: Settings) -> Iterator[Problem]:
    first: dict[str, str] = {}
    for name in settings.models:
        earlier = first.setdefault(collision_key(name), name)
        if earlier != name:
            yield (
                ("models", name),
                f"{name} and {earlier} differ only in upper and lower case or in . - _ and would "
                "share folders, jobs or series of metrics; choose names that also differ in "
                "other characters.",
            )
        if len(name) > MAX_NAME:
            yield (
                ("models", name),
                f"A name of {len(name)} characters is too long for files and metrics; use at most "
                f"{MAX_NAME}.",
            )


def collision_key(name: str) -> str:
    """What is left of a model's name where case and punctuation do not count.

    >>> collision_key("Big.Tipper") == collision_key("big_tipper") == collision_key("big--tipper")
    True
    """
    return re.sub(r"[^a-z0-9]+", "_", name.casefold())


SERVING_CHECKS: tuple[Callable[[Settings], Iterator[Problem]], ...] = (
    _served_models,
    _ports_are_free,
    _labels,
    _names_differ,
)
"""Checks of the whole file."""
