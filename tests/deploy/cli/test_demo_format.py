"""`driftline demo --format`: what cannot be played is refused before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.app.deployment import Deployment
from deploy.cli.commands.services import demo_file
from tests.deploy.cli.runner import run


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("demo", "--format", "xml"), "write json or avro"),
        (("demo", "--format", "avro", "--scenario", "new-column"), "plays in JSON only"),
        (("demo", "--format", "avro", "--scenario", "broken-schema"), "plays in JSON only"),
    ],
)
def test_a_wrong_format_is_refused(tmp_path: Path, words: tuple[str, ...], reason: str) -> None:
    shown = run(*words, env={"DRIFTLINE_HOME": str(tmp_path)}, config=None)
    assert shown.exit_code == 2
    assert reason in " ".join(shown.stderr.split())


def test_a_profile_in_another_format_is_refused(tmp_path: Path) -> None:
    shown = run("demo", "--format", "avro", env={"DRIFTLINE_HOME": str(tmp_path)})
    assert shown.exit_code == 2
    assert "are in json" in " ".join(shown.stderr.split())


def test_both_profiles_differ_in_their_format_only() -> None:
    """The same windows, rules and gates, so that the figures can be compared."""
    json, avro = (Deployment.load(demo_file(name)).settings for name in ("json", "avro"))
    model = json.models["big_tipper"]
    other = avro.models["big_tipper"]
    differing = {
        name for name in type(model).model_fields if getattr(model, name) != getattr(other, name)
    }
    assert differing == {"events", "predictions"}
