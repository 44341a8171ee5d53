"""`driftline pipeline`: what it refuses before anything heavy is imported."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from deploy.services.pipelines import Source, Wishes, read_request
from streaming.contracts.errors import ConfigurationError, DecodeError, NotFoundError
from streaming.contracts.records import RetrainRequest
from tests.deploy.cli.builders import MODEL
from tests.deploy.cli.runner import data, run
from tests.retrain.builders import request

COMPILE = ("pipeline", "compile", MODEL, "--to", "p.yaml", "--image", "i", "--root", "gs://b")


@pytest.mark.parametrize("words", [("pipeline", "run", MODEL), COMPILE], ids=["run", "compile"])
def test_exactly_one_source_is_wanted(words: tuple[str, ...]) -> None:
    for more in ((), ("--csv", "a", "--tfrecord", "b")):
        shown = run(*words, *more, "--json")
        assert shown.exit_code == 2
        assert "one of --csv FOLDER" in data(shown)["error"]["message"]


@pytest.mark.parametrize("mount", ["state", "state=models", "=/state", "state=/"])
def test_a_volume_needs_a_claim_and_a_folder(mount: str) -> None:
    shown = run(*COMPILE, "--csv", "gs://b/rows", "--mount", mount)
    assert shown.exit_code == 2
    assert "write CLAIM=/FOLDER" in shown.stderr


def test_a_model_that_the_settings_lack_is_not_found() -> None:
    assert run("pipeline", "run", "nobody", "--csv", "rows").exit_code == 3


def test_a_request_is_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "request.json"
    with pytest.raises(NotFoundError, match="There is no file"):
        read_request(file, MODEL)
    file.write_bytes(b"\xff{")
    with pytest.raises(DecodeError, match="no JSON of a retrain request"):
        read_request(file, MODEL)
    expected = msgspec.structs.replace(request("r"), model=MODEL)
    file.write_bytes(msgspec.json.encode(expected))
    assert read_request(file, MODEL) == expected
    with pytest.raises(DecodeError, match="not of another"):
        read_request(file, "another")
    assert isinstance(expected, RetrainRequest)
    assert Source(request=expected).kafka == ""
    with pytest.raises(ConfigurationError, match="--request FILE"):
        Source(request=expected, csv="rows")
    assert Wishes().beam is None


def test_what_trace_prints_of_a_request_is_read(tmp_path: Path) -> None:
    """No other command writes a request as JSON."""
    expected = msgspec.structs.replace(request("r"), model=MODEL)
    file = tmp_path / "request.json"
    traced = {"record": expected, "causes": [], "more": False}
    file.write_bytes(msgspec.json.format(msgspec.json.encode(traced), indent=2))
    assert read_request(file, MODEL) == expected


def test_a_file_without_a_request_says_how_to_write_one(tmp_path: Path) -> None:
    file = tmp_path / "request.json"
    for content in ("[]", "{}", '{"record": {"kind": "promotion"}}'):
        file.write_text(content)
        shown = run("pipeline", "run", MODEL, "--request", str(file))
        assert shown.exit_code == 1
        assert "driftline trace REQUEST --json" in " ".join(shown.stderr.split())
