"""An error of the operating system that no command expects is one sentence and exit code 1."""

from __future__ import annotations

import errno
import json

import pytest
import typer

from deploy.cli.shared.command import reported_errors

ERRORS = [
    (PermissionError(13, "Permission denied", "/srv/x"), "Permission denied: /srv/x."),
    (FileNotFoundError(2, "No such file or directory", "/srv/x"), "directory: /srv/x."),
    (IsADirectoryError(21, "Is a directory"), "Is a directory."),
    (OSError(28, "No space left on device"), "No space left on device."),
    (OSError("unusual"), "unusual."),
    (ConnectionRefusedError(), "ConnectionRefusedError."),
]


@pytest.mark.parametrize(("error", "end"), ERRORS, ids=[repr(error) for error, _ in ERRORS])
def test_an_unexpected_error_is_one_sentence(
    error: OSError, end: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as ended, reported_errors(as_json=True):
        raise error
    assert ended.value.exit_code == 1
    shown = capsys.readouterr()
    message = json.loads(shown.out)["error"]["message"]
    assert message.startswith("The operating system refused an operation: ")
    assert message.endswith(end)
    assert message in shown.err.replace("\n", " ")


def test_a_timeout_keeps_its_exit_code() -> None:
    with pytest.raises(typer.Exit) as ended, reported_errors():
        raise TimeoutError("too slow")
    assert ended.value.exit_code == 7


def test_a_reader_that_has_ended_is_left_to_click() -> None:
    with pytest.raises(BrokenPipeError), reported_errors():
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")
