"""Versions, labels and faults of a running server change under load."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from serving.engines.modelserver.protos import GetModelStatusRequest, ReloadConfigRequest, call
from tests.serving.engines.modelserver.server_process import MODEL, Server, start, stop
from tests.waiting import wait_for

pytestmark = pytest.mark.engine

Models = tuple[Path, dict[str, Any]]
_BODY = {"instances": [{"fare": [1.5], "hour": [3], "payment": ["Cash"]}]}


def _reload(server: Server, versions: list[int], labels: dict[str, int] | None = None) -> None:
    request = ReloadConfigRequest()
    config = request.config.model_config_list.config.add()
    config.name, config.model_platform = MODEL, "tensorflow"
    config.model_version_policy.specific.versions.extend(versions)
    config.version_labels.update(labels or {})
    with server.channel() as channel:
        call(channel, "HandleReloadConfigRequest", request, timeout_seconds=5)


def _available(server: Server) -> set[int]:
    request = GetModelStatusRequest()
    request.model_spec.name = MODEL
    with server.channel() as channel:
        response = call(channel, "GetModelStatus", request, timeout_seconds=5)
    return {item.version for item in response.model_version_status if item.state == 30}


def _until_available(server: Server, versions: set[int]) -> None:
    wait_for(lambda: _available(server) == versions, seconds=30)


def test_a_server_without_versions_loads_one_on_request(models: Models) -> None:
    server = start(models[0], "--versions", "none")
    try:
        missing = httpx.post(f"{server.url}:predict", json=_BODY)
        assert missing.status_code == 404
        assert missing.json()["error"] == f"Servable not found for request: Latest({MODEL})"
        assert httpx.get(server.url).status_code == 404
        _reload(server, [3])
        _until_available(server, {3})
        assert httpx.post(f"{server.url}:predict", json=_BODY).status_code == 200
        assert 'model_warmup_latency_count{model_path="' in server.metrics
        _reload(server, [])
        _until_available_none(server)
    finally:
        log = stop(server)
    assert "warm_up.skipped" not in "\n".join(
        line for line in log.splitlines() if "serving_default" in line
    )


def _until_available_none(server: Server) -> None:
    _until_available(server, set())
    assert httpx.get(server.url).json()["model_version_status"][0]["state"] in ("UNLOADING", "END")


def test_labels_can_be_set_only_after_the_load(models: Models) -> None:
    server = start(models[0], "--versions", "1")
    try:
        with pytest.raises(grpc.RpcError) as refused:
            _reload(server, [1, 2], {"canary": 2})
        assert refused.value.code().name == "FAILED_PRECONDITION"
        assert _available(server) == {1}, "a refused reload changes nothing"
        _reload(server, [1, 2])
        _until_available(server, {1, 2})
        _reload(server, [1, 2], {"stable": 1, "canary": 2})
        assert httpx.post(f"{server.url}/labels/canary:predict", json=_BODY).status_code == 200
        response = httpx.post(f"{server.url}/labels/stable:predict", json=_BODY)
        assert response.headers["x-model-version"] == "1"
    finally:
        stop(server)


def test_no_request_fails_while_versions_change(models: Models) -> None:
    server = start(models[0], "--versions", "1")
    stopped, responses, failures = threading.Event(), [0], list[str]()

    def send_requests() -> None:
        with httpx.Client() as client:
            while not stopped.is_set():
                response = client.post(f"{server.url}:predict", json=_BODY)
                responses[0] += 1
                if response.status_code != 200:
                    failures.append(response.text)

    threads = [threading.Thread(target=send_requests) for _ in range(2)]
    try:
        for thread in threads:
            thread.start()
        for requested in (2, 3, 1, 2, 3):
            _reload(server, [requested])
            _until_available(server, {requested})
    finally:
        stopped.set()
        for thread in threads:
            thread.join()
        stop(server)
    assert failures == []
    assert responses[0] > 50


def test_the_fault_file_slows_a_running_server_down_and_back_up(
    models: Models, tmp_path: Path
) -> None:
    fault = tmp_path / "fault.json"
    server = start(models[0], "--versions", "1", "--fault-file", str(fault))
    try:
        assert min(_seconds(server) for _ in range(8)) < 0.3
        fault.write_text(json.dumps({"latency_ms": 300}))
        wait_for(lambda: _seconds(server) >= 0.3, seconds=30)
        fault.write_text(json.dumps({"error_ratio": 1.0}))
        wait_for(lambda: _post(server).status_code == 503, seconds=30)
        fault.unlink()
        wait_for(lambda: _post(server).status_code == 200, seconds=30)
        assert min(_seconds(server) for _ in range(8)) < 0.3
    finally:
        stop(server)


def _seconds(server: Server) -> float:
    started = time.monotonic()
    _post(server).raise_for_status()
    return time.monotonic() - started


def _post(server: Server) -> httpx.Response:
    return httpx.post(f"{server.url}:predict", json=_BODY)


def test_a_server_on_a_port_in_use_refuses_to_start(models: Models) -> None:
    server = start(models[0], "--versions", "none")
    try:
        command = [sys.executable, "-m", "serving.engines.modelserver", "--role", "test"]
        command += ["--grpc-port", str(server.grpc_port), "--rest-port", "0"]
        command += ["--model-name", MODEL, "--base-path", str(models[0]), "--versions", "none"]
        second = subprocess.run(command, check=False, capture_output=True, timeout=60)
        assert second.returncode == 2
        assert b"server.refused_to_start" in second.stderr
    finally:
        stop(server)


def test_a_broken_model_is_reported_and_the_old_one_stays_available(
    models: Models, tmp_path: Path
) -> None:
    (tmp_path / "1").symlink_to(models[0] / "1")
    (tmp_path / "2").mkdir()
    (tmp_path / "2" / "saved_model.pb").write_bytes(b"no model at all")
    server = start(tmp_path, "--versions", "1")
    try:
        _reload(server, [2])
        wait_for(lambda: _statuses(server).get("2", {}).get("state") == "END", seconds=30)
        states = _statuses(server)
        assert states["2"]["status"]["error_code"] != "OK"
        assert states["1"]["state"] == "AVAILABLE"
        assert httpx.post(f"{server.url}:predict", json=_BODY).status_code == 200
    finally:
        stop(server)


def _statuses(server: Server) -> dict[str, Any]:
    items = httpx.get(server.url).json()["model_version_status"]
    return {item["version"]: item for item in items}


def test_protos_do_not_break_a_later_import_of_tensorflow() -> None:
    code = (
        "from serving.engines.modelserver import protos; import sys; "
        "assert 'tensorflow' not in sys.modules; import tensorflow as tf; "
        "assert type(tf.make_tensor_proto([1])) is protos.TensorProto; "
        "assert int(tf.constant(1) + 1) == 2"
    )
    completed = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, timeout=200
    )
    assert completed.returncode == 0, completed.stderr.decode()[-2000:]
