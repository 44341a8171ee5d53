"""How far a replay has come, in a file, so that the same command goes on after an interruption."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path

import msgspec

from deploy.config.atomic_file import write_atomic


class ReplayState(msgspec.Struct, frozen=True, kw_only=True):
    """Position of one replay."""

    run: str
    """Name of the replay, a part of its keys."""
    events: int = 0
    """Events that the broker has acknowledged."""
    labels: int = 0
    """Rows whose label was sent or is missing."""
    finished: bool = False


def replay_name(file: Path, model: str, shifts: Iterable[str], again: int = 0) -> str:
    """A short name that the same file, model and shifts always give."""
    content = blake2b(digest_size=4)
    with file.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            content.update(chunk)
    for word in (model, *sorted(shifts), str(again)):
        content.update(b"\0" + word.encode())
    return content.hexdigest()


def state_file(folder: Path, run: str) -> Path:
    """The file of a replay's position."""
    return folder / "replay" / f"{run}.json"


def read_state(folder: Path, run: str) -> ReplayState:
    """The position; that of the beginning when there is none that can be read."""
    try:
        return msgspec.json.decode(state_file(folder, run).read_bytes(), type=ReplayState)
    except (OSError, msgspec.DecodeError):
        return ReplayState(run=run)


def write_state(folder: Path, state: ReplayState) -> None:
    """Replace the position."""
    write_atomic(state_file(folder, state.run), msgspec.json.encode(state))
