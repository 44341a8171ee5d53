"""Commands in documents and messages exist, with the options they name."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from deploy.cli.main import app

PROJECT = Path(__file__).resolve().parents[2]
SPAN = re.compile(r"`(?:\S*/)?driftline ([^`]*)`")
FENCE = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINE = re.compile(r"^(?:[A-Z_]+=\S+ )*driftline ([^#\n]*)", re.MULTILINE)
PACKAGES = ("deploy", "retrain", "serving", "streaming")
DOCUMENTS = [
    *PROJECT.glob("*.md"),
    *PROJECT.glob("docs/**/*.md"),
    *(file for folder in (*PACKAGES, "tests") for file in PROJECT.glob(f"{folder}/**/*.md")),
    *PROJECT.glob("deploy/prometheus/**/*.yml"),
]
SOURCES = [file for folder in PACKAGES for file in PROJECT.glob(f"{folder}/**/*.py")]
PLACEHOLDER = "X"
"""Stands for a value that a message fills in."""


def named(text: str) -> Iterator[list[str]]:
    """The words of each command in code style, once for each of `a | b | c`."""
    blocks = FENCE.findall(text)
    for span in [*SPAN.findall(text), *(line for block in blocks for line in LINE.findall(block))]:
        words = re.sub(r"\s+", " ", span).strip().replace(" | ", "|").split(" ")
        if words[0] in ("-c", "--config"):
            words = words[2:]
        alternatives = [[]] if not words else [[word] for word in words[0].split("|")]
        for word in words[1:]:
            alternatives = [[*chosen, part] for chosen in alternatives for part in word.split("|")]
        yield from alternatives


@functools.cache
def root() -> Any:
    """The whole tree of commands."""
    return typer.main.get_command(app)


def problem(words: list[str]) -> str:
    """What is wrong with a command, empty when it exists."""
    command = root()
    for number, word in enumerate(words):
        subcommands = getattr(command, "commands", None)
        if subcommands is not None and word == PLACEHOLDER:
            return ""
        if subcommands is None or not re.fullmatch(r"[a-z][a-z-]*", word):
            return unknown_options(command, words[number:])
        if word not in subcommands:
            return f"no command {' '.join(words[: number + 1])}"
        command = subcommands[word]
    return ""


def unknown_options(command: Any, words: list[str]) -> str:
    options = {
        name
        for parameter in command.params
        for name in (*parameter.opts, *parameter.secondary_opts)
    }
    for word in words:
        option = re.match(r"\[?(--[a-z][a-z-]*)", word)
        if option and option[1] not in {*options, "--help"}:
            return f"{command.name} has no option {option[1]}"
    return ""


def wrong_commands(text: str) -> dict[str, str]:
    return {" ".join(words): fault for words in named(text) if (fault := problem(words))}


@pytest.mark.parametrize("file", sorted(DOCUMENTS), ids=lambda file: str(file.relative_to(PROJECT)))
def test_every_command_in_a_document_exists(file: Path) -> None:
    assert wrong_commands(file.read_text()) == {}


def test_every_command_in_a_message_or_docstring_exists() -> None:
    texts = {file: re.sub(r"\{[^{}\n]*\}", PLACEHOLDER, file.read_text()) for file in SOURCES}
    wrong = {str(file): faults for file, text in texts.items() if (faults := wrong_commands(text))}
    assert wrong == {}


def test_the_check_finds_what_does_not_exist() -> None:
    (words,) = named("`driftline dead-letters lst`")
    assert problem(words) == "no command dead-letters lst"
    (words,) = named("`driftline -c x.yaml drift MODEL --frature F`")
    assert problem(words) == "drift has no option --frature"
    assert [problem(words) for words in named("`driftline schema check | show`")] == ["", ""]
    (words,) = named("```\nX=1 driftline schema chek  # a comment\n```")
    assert problem(words) == "no command schema chek"
