"""The changes that a decision asks for; performing one twice has the effect of doing it once."""

from __future__ import annotations

from serving.traffic_split import Role, TrafficSplit
from streaming.contracts.base import Value
from streaming.contracts.records import ModelVersion


class SetTrafficSplit(Value, frozen=True, kw_only=True, tag="set-traffic-split"):
    """Route requests by this split."""

    split: TrafficSplit


class LoadVersion(Value, frozen=True, kw_only=True, tag="load-version"):
    """Make a server load this version and unload all others."""

    role: Role
    version: int


class PublishReference(Value, frozen=True, kw_only=True, tag="publish-reference"):
    """Build and store the drift reference of a version."""

    version: ModelVersion


class CompareAnswers(Value, frozen=True, kw_only=True, tag="compare-answers"):
    """Let the servers of control and canary answer the same recent requests, and compare."""

    version: ModelVersion
    """The canary's version."""
    champion: int
    """The control's version."""


class UnloadVersions(Value, frozen=True, kw_only=True, tag="unload-versions"):
    """Make a server that gets no requests give up its versions."""

    role: Role


class ReplaceServer(Value, frozen=True, kw_only=True, tag="replace-server"):
    """Give a role that gets no requests a fresh server; it starts without a version."""

    role: Role


ServerAction = LoadVersion | UnloadVersions | ReplaceServer
Action = SetTrafficSplit | ServerAction | PublishReference | CompareAnswers
