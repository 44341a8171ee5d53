"""Output of libraries: what is dropped, what stays, and where the rest goes."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.config.paths import PROJECT
from deploy.views.library_output import MESSAGE_FILTERS, WARNING_FILTERS

FILTERED = "from deploy.views.library_output import apply_filters; apply_filters()\n"
WARN = "import warnings; warnings.warn_explicit({text!r}, {category}, 'x.py', 1, {module!r})\n"


def stderr_of(code: str, *options: str) -> str:
    """What a new process writes to stderr."""
    command = [sys.executable, *options, "-c", code]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    return done.stderr


def test_known_warnings_of_libraries_are_dropped() -> None:
    warn = WARN.format(text="grpcio", category="FutureWarning", module="google.auth.transport")
    assert "grpcio" in stderr_of(warn)
    assert stderr_of(FILTERED + warn) == ""
    assert "grpcio" in stderr_of(FILTERED + warn, "-W", "default")


@pytest.mark.parametrize("module", ["retrain.models.big_tipper", "deploy.cli.main", "__main__"])
def test_warnings_of_other_modules_stay(module: str) -> None:
    warn = WARN.format(text="stays", category="FutureWarning", module=module)
    assert "stays" in stderr_of(FILTERED + warn)


def test_known_log_messages_are_dropped_and_others_stay() -> None:
    code = FILTERED + "import logging; logging.warning('crcmod package not found. x')\n"
    assert stderr_of(code) == ""
    assert "stays" in stderr_of(code + "logging.warning('stays')\n")


def test_every_filter_has_a_reason_and_names_a_third_party_module() -> None:
    assert all(known.reason and known.module for known in WARNING_FILTERS)
    assert all(known.reason and known.prefix for known in MESSAGE_FILTERS)
    for known in WARNING_FILTERS:
        for package in ("streaming", "retrain", "serving", "deploy"):
            assert package not in known.module


def test_redirected_output_is_in_the_file_and_stderr_is_restored(tmp_path: Path) -> None:
    file = tmp_path / "log" / "demo.log"
    code = (
        "import logging, os, sys, warnings\n"
        "from pathlib import Path\n"
        "from deploy.views.library_output import redirect_to\n"
        f"with redirect_to(Path({str(file)!r})):\n"
        "    os.write(2, b'native\\n')\n"
        "    os.system('echo child >&2')\n"
        "    logging.getLogger('x').warning('record')\n"
        "    warnings.warn('python warning')\n"
        "    print('screen', file=sys.stderr)\n"
        "os.write(2, b'after\\n')\n"
        "print('end', file=sys.stderr)\n"
    )
    assert stderr_of(code) == "screen\nafter\nend\n"
    text = file.read_text()
    assert all(word in text for word in ("native", "child", "record", "python warning"))
    assert "screen" not in text


@pytest.mark.engine
@pytest.mark.skipif(importlib.util.find_spec("apache_beam") is None, reason="needs Beam")
def test_importing_beam_writes_nothing() -> None:
    assert stderr_of(FILTERED + "import apache_beam\n") == ""
