"""The console listens on this machine only, and its command says why it refuses anything else."""

from __future__ import annotations

import pytest

from deploy.console.server import check_address
from streaming.contracts.errors import ConfigurationError
from tests.deploy.cli.runner import run


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_loopback_addresses_are_allowed(host: str) -> None:
    check_address(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "console.example", ""])
def test_other_addresses_are_refused(host: str) -> None:
    with pytest.raises(ConfigurationError, match="no sign-in"):
        check_address(host)


def test_the_command_refuses_another_address_and_says_what_to_do() -> None:
    result = run("console", "--host", "0.0.0.0")
    assert result.exit_code == 2
    assert "no sign-in" in result.stderr
    assert "ssh -L" in result.stderr
