"""`driftline access`, and the commands through a console's API by `--server`."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.cli.shared.command import EXITS
from deploy.console.context import Console
from deploy.console.security import Transport, loopback_hosts
from deploy.console.server import ConsoleServer
from deploy.projection.feed import catch_up
from deploy.projection.writer import ProjectionWriter
from deploy.records import reader
from streaming.contracts.records import Command
from tests.deploy.cli.runner import data, run
from tests.deploy.console import operations, scenario
from tests.deploy.console.consoles import console_on
from tests.deploy.console.people import MODEL, PASSWORD, PASSWORDS
from tests.deploy.console.test_decisions import answering, commands, copied
from tests.waiting import wait_for


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    return {"DRIFTLINE_HOME": str(tmp_path), "USER": "ann"}


def secret_file(folder: Path, content: str, mode: int = 0o600) -> str:
    path = folder / "secret"
    path.write_text(f"{content}\n")
    path.chmod(mode)
    return str(path)


def test_people_are_added_listed_and_removed(tmp_path: Path, home: dict[str, str]) -> None:
    file = secret_file(tmp_path, PASSWORD)
    added = run("access", "user", "add", "ann", "--password-file", file, env=home)
    assert added.exit_code == 0
    assert "no role yet" in added.stderr
    again = run("access", "user", "add", "ANN", "--password-file", file, env=home)
    assert EXITS[again.exit_code].startswith("conflict")
    assert data(run("access", "user", "list", "--json", env=home))[0]["name"] == "ann"
    assert run("access", "user", "remove", "ann", env=home).exit_code == 2  # needs --yes
    assert run("access", "user", "remove", "ann", "--yes", env=home).exit_code == 0
    assert data(run("access", "user", "list", "--json", env=home)) == []


def test_a_password_is_never_taken_from_others(tmp_path: Path, home: dict[str, str]) -> None:
    readable = secret_file(tmp_path, PASSWORD, 0o644)
    result = run("access", "user", "add", "ann", "--password-file", readable, env=home)
    assert result.exit_code == 2
    assert "chmod 600" in result.stderr
    assert run("access", "user", "add", "ann", env=home).exit_code == 2  # no terminal


def test_a_token_is_shown_once(tmp_path: Path, home: dict[str, str]) -> None:
    created = run("access", "token", "create", "--label", "nightly", env=home)
    secret = created.stdout.strip()
    assert secret.startswith("driftline_")
    listed = data(run("access", "token", "list", "--json", env=home))
    assert [entry["label"] for entry in listed] == ["nightly"]
    assert secret not in str(listed)
    content = next(tmp_path.rglob("access.sqlite")).read_bytes()
    assert secret.encode() not in content
    assert run("access", "token", "revoke", listed[0]["id"], env=home).exit_code == 0
    assert data(run("access", "token", "list", "--json", env=home))[0]["revoked"] is not None
    assert run("access", "token", "revoke", "unknown", env=home).exit_code == 3


def test_a_key_prints_what_the_settings_need(tmp_path: Path, home: dict[str, str]) -> None:
    created = run("access", "key", "create", "console", env=home)
    assert "signing_key: console" in created.stdout
    assert next(tmp_path.rglob("console.key")).stat().st_mode & 0o777 == 0o600
    assert run("access", "key", "create", "../console", env=home).exit_code == 2


class Served:
    """A console on a free port."""

    def __init__(self, console: Console, address: str, folder: Path) -> None:
        self.console, self.address, self.folder = console, address, folder

    def run(self, person: str, *words: str):  # type: ignore[no-untyped-def]
        access = self.console.access
        _, secret = access.tokens.create(person, "t", role="admin", seconds=60.0, now=access.now())
        token_file = secret_file(self.folder, secret)
        return run("--server", self.address, "--token-file", token_file, *words, config=None)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    log = answering(copied())
    console = console_on(log, tmp_path, now=scenario.shared().clock.now(), access=PASSWORDS)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        console = replace(console, transport=Transport(hosts=loopback_hosts(port)))
        server = ConsoleServer(console, host="127.0.0.1", port=port)
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        wait_for(lambda: server.started, 60.0)
        try:
            created = Served(console, f"http://127.0.0.1:{port}", tmp_path)
            created.log = log  # type: ignore[attr-defined]
            yield created
        finally:
            server.should_exit = True
            thread.join()


def test_commands_work_through_the_api(served: Served) -> None:
    assert data(served.run("vera", "models", "--json"))["items"][0]["name"] == MODEL
    assert served.run("vera", "versions", MODEL).exit_code == 0
    assert served.run("vera", "trace", "1", "--model", MODEL).exit_code == 0
    assert MODEL in served.run("vera", "rollout", "approvals").stdout
    assert served.run("vera", "rollout", "status", MODEL).exit_code == 0
    refused = served.run("vera", "rollout", "approve", MODEL, "--yes")
    assert EXITS[refused.exit_code] == "not allowed"
    accepted = served.run("petra", "rollout", "approve", MODEL, "--yes", "--reason", "Better")
    assert accepted.exit_code == 0, accepted.stderr
    (command,) = commands(served.log)  # type: ignore[attr-defined]
    assert (command.who, command.role, command.channel) == ("petra", "approver", "api")
    assert served.run("olaf", "retrain", MODEL, "--reason", "new tariff").exit_code == 0
    assert served.run("olaf", "rollout", "promote", MODEL, "--yes").exit_code == 6


def test_experiments_are_started_and_stopped_through_the_api(served: Served) -> None:
    start = ("experiment", "start", MODEL, "--arm", "2=20", "--for", "7d", "--yes")
    assert EXITS[served.run("vera", *start).exit_code] == "not allowed"
    assert served.run("olaf", *start, "--force").exit_code == 2  # needs a reason
    accepted = served.run("olaf", *start, "--reason", "is it better?", "--metric", "brier")
    assert accepted.exit_code == 0, accepted.stderr
    assert served.run("olaf", *start[:4], "9=20", "--for", "7d", "--yes").exit_code == 3
    assert served.run("olaf", "experiment", "stop", MODEL, "--yes").exit_code == 0
    assert served.run("vera", "experiment", "list", MODEL).exit_code == 0
    sent = [c for c in reader.records(served.log, Command) if "experiment" in c.action]  # type: ignore[attr-defined]
    started, stopped = sent[-2:]
    assert (started.action, started.who, started.channel) == ("start-experiment", "olaf", "api")
    assert started.experiment is not None
    assert [arm.share for arm in started.experiment.arms] == [2000, 2000]
    assert started.experiment.metric == "brier"
    assert (stopped.action, stopped.who) == ("stop-experiment", "olaf")


def test_an_experiment_is_shown_through_the_api_as_on_the_machine(served: Served) -> None:
    show = ("experiment", "status", MODEL)
    assert served.run("vera", *show).exit_code == 3  # none yet
    log, now = served.log, served.console.now()  # type: ignore[attr-defined]
    log.append(operations.experiments(now))
    writer = ProjectionWriter(served.folder)
    catch_up(log, writer)
    writer.close()
    newest = served.run("vera", *show)
    assert newest.exit_code == 0, newest.stderr
    for shown in ("running", "v2", "0.0120", "sample_ratio", "x-user-id"):
        assert shown in newest.stdout, shown
    ids = [
        row["subject"] for row in data(served.run("vera", "experiment", "list", MODEL, "--json"))
    ]
    older = data(served.run("vera", *show, "--id", ids[0][:6], "--json"))
    assert older["status"]["outcome"] == "no-gain"
    assert older["look"] is None
    assert served.run("vera", *show, "--id", "zz").exit_code == 3
    assert served.run("vera", *show, "--plot", "effect.svg").exit_code == 2
    assert served.run("vera", "experiment", "status", "other").exit_code == 3


def test_what_does_not_work_remotely_says_so(served: Served) -> None:
    result = served.run("ada", "up")
    assert result.exit_code == 2
    assert "works on this machine's stack only" in result.stderr
    assert served.run("ada", "versions", "nothing").exit_code == 3


@pytest.mark.parametrize(
    ("server", "said_why"),
    [
        ("http://driftline.example", "use https"),
        ("ftp://127.0.0.1", "an address is"),
        ("x", "https"),
    ],
)
def test_a_token_never_travels_in_the_clear(tmp_path: Path, server: str, said_why: str) -> None:
    file = secret_file(tmp_path, "driftline_x")
    result = run("--server", server, "--token-file", file, "models", config=None)
    assert result.exit_code == 2
    assert said_why in result.stderr


def test_a_token_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    file = secret_file(tmp_path, "driftline_x", 0o644)
    result = run("--server", "http://127.0.0.1:9", "--token-file", file, "models", config=None)
    assert result.exit_code == 2
    assert "chmod 600" in result.stderr


def test_a_server_that_does_not_answer_is_named(tmp_path: Path) -> None:
    file = secret_file(tmp_path, "driftline_x")
    result = run("--server", "http://127.0.0.1:9", "--token-file", file, "models", config=None)
    assert result.exit_code == 8
