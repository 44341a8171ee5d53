"""Reads the paths of the REST API (``ParseModelInfo`` of ``http_rest_api_util.cc``)."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from serving.engines.modelserver.codes import invalid
from serving.engines.modelserver.service import Address

_VERSION = r"(?:/versions/(\d+)|/labels/([^/:]+))?"
_POST = re.compile(
    rf"/v1/models/([^/:]+){_VERSION}:(classify|regress|predict)", re.ASCII | re.IGNORECASE
)
_GET = re.compile(rf"/v1/models(?:/([^/:]+))?{_VERSION}(?:/(metadata))?", re.ASCII | re.IGNORECASE)
_API = re.compile(r"/v1/.*", re.ASCII | re.IGNORECASE | re.DOTALL)
_LARGEST = (1 << 63) - 1
ACTIONS = ("classify", "regress", "predict")


class Target(NamedTuple):
    """What a path asks for: an action of a POST; metadata or, empty, the status of a GET."""

    address: Address
    action: str
    subresource: str
    matches: bool
    """Whether the path is one of the method's."""


def is_api(path: str) -> bool:
    """Whether a path belongs to the API at all."""
    return _API.fullmatch(path) is not None


def read_path(method: str, path: str) -> Target:
    """What a request asks for.

    Parameters
    ----------
    method:
        The HTTP method.
    path:
        The path as sent, with its query: TF Serving takes the query as a part of the last name.

    Raises
    ------
    Refused
        INVALID_ARGUMENT for a version that does not fit 64 bits.
    """
    pattern = {"POST": _POST, "GET": _GET}.get(method)
    match = None if pattern is None else pattern.fullmatch(path)
    if match is None:
        return Target(Address(""), "", "", matches=False)
    name, version, label, last = (text or "" for text in match.groups())
    if version and (len(version.lstrip("0")) > 19 or int(version) > _LARGEST):
        raise invalid(f"Failed to convert version: {version} to numeric.")
    address = Address(_decoded(name), int(version) if version else None, _decoded(label))
    if method == "POST":
        return Target(address, last, "", matches=True)
    return Target(address, "", last, matches=True)


def _decoded(text: str) -> str:
    return unquote_to_bytes(text).decode("utf-8", "replace")
