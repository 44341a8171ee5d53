"""Checks that a command of a document or a file exists in the command `driftline`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def assert_is_command(group: Any, words: Sequence[str]) -> None:
    """The first words name a command of the Typer group, and every option is one of its own."""
    command, names = group, list(words)
    while hasattr(command, "commands"):
        assert names, f"{words}: a subcommand is missing"
        name = names.pop(0)
        assert name in command.commands, f"{' '.join(words)!r}: no command {name!r}"
        command = command.commands[name]
    options = {option for parameter in command.params for option in parameter.opts}
    for word in names:
        if word.startswith("-"):
            assert word.partition("=")[0] in options | {"--help"}, f"{' '.join(words)!r}: {word}"
