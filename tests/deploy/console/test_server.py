"""The console listens on this machine only, and its command says why it refuses anything else."""

from __future__ import annotations

import datetime as dt
import ipaddress
import socket
import ssl
import threading
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from starlette.testclient import TestClient

from deploy.config.access_settings import AccessSettings
from deploy.console.addresses import check_address, gateway, transport
from deploy.console.app import create_app
from deploy.console.server import ConsoleServer
from streaming.contracts.errors import ConfigurationError
from streaming.contracts.log import MemoryLog
from tests.deploy.cli.runner import run
from tests.deploy.console.consoles import console_on
from tests.deploy.console.people import PASSWORD, PASSWORDS
from tests.waiting import wait_for


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_loopback_addresses_are_allowed(host: str) -> None:
    check_address(host, AccessSettings())


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "console.example", ""])
def test_other_addresses_are_refused(host: str) -> None:
    with pytest.raises(ConfigurationError, match="no sign-in"):
        check_address(host, AccessSettings())


def test_the_command_refuses_another_address_and_says_what_to_do() -> None:
    result = run("console", "--host", "0.0.0.0")
    assert result.exit_code == 2
    assert "no sign-in" in result.stderr
    assert "ssh -L" in result.stderr


def test_in_a_container_only_its_machine_is_answered(tmp_path: Path) -> None:
    routes = tmp_path / "route"
    head = "Iface\tDestination\tGateway\tFlags\n"
    routes.write_text(f"{head}eth0\t000012AC\t00000000\t0001\neth0\t00000000\t010012AC\t0003\n")
    machine = gateway(routes)
    assert machine == "172.18.0.1"
    console = console_on(MemoryLog(), tmp_path, now=1000.0)
    reached = transport(console.access.settings, 8580, clients=frozenset({machine}))
    app = create_app(replace(console, transport=reached))
    for client, status in ((machine, 200), ("127.0.0.1", 200), ("172.18.0.9", 403), ("", 403)):
        pages = TestClient(app, base_url="http://127.0.0.1:8580", client=(client, 5000))
        assert pages.get("/").status_code == status, client
        forwarded = pages.get("/", headers={"x-forwarded-for": machine})
        assert forwarded.status_code == status, client


def test_a_container_without_a_default_route_is_refused(tmp_path: Path) -> None:
    routes = tmp_path / "route"
    routes.write_text("Iface\tDestination\tGateway\tFlags\neth0\t000012AC\t00000000\t0001\n")
    with pytest.raises(ConfigurationError, match="no default route"):
        gateway(routes)


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = folder / "console.crt", folder / "console.pem"
    files[0].write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    files[1].chmod(0o600)
    return files


def test_it_serves_by_tls_and_marks_the_session_as_secure(tmp_path: Path) -> None:
    own, key = certificate(tmp_path)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        address = f"https://127.0.0.1:{port}"
        section = {**PASSWORDS} | {
            "address": address,
            "certificate_file": str(own),
            "key_file": str(key),
        }
        console = console_on(MemoryLog(), tmp_path, now=1000.0, access=section)
        console = replace(console, transport=transport(console.access.settings, port))
        console.access.people.add("petra", PASSWORD, now=0.0)
        server = ConsoleServer(console, host="127.0.0.1", port=port)
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            wait_for(lambda: server.started, 60.0)
            trusted = ssl.create_default_context(cafile=str(own))
            with httpx.Client(base_url=address, verify=trusted, timeout=60.0) as pages:
                form = {"name": "petra", "password": PASSWORD}
                answer = pages.post("/sign-in", data=form, headers={"origin": address})
                assert answer.status_code == 303
                assert answer.headers["set-cookie"].startswith("__Host-driftline=")
                assert "Secure" in answer.headers["set-cookie"]
                assert pages.get("/api/v1/me").json()["person"] == "petra"
        finally:
            server.should_exit = True
            thread.join()


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    own, key = certificate(tmp_path)
    key.chmod(0o644)
    section = {**PASSWORDS} | {"certificate_file": str(own), "key_file": str(key)}
    with pytest.raises(ConfigurationError, match="chmod 600"):
        console_on(MemoryLog(), tmp_path, now=1000.0, access=section)
