"""The configuration files and flags of TF Serving 2.19.1 (file and lines beside each rule)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from serving.engines.modelserver.codes import Code, Refused
from serving.engines.modelserver.config_files import (
    METRICS_PATH,
    check_batching,
    metrics_path,
    read_models,
    single_model,
)
from serving.engines.modelserver.flags import parser, without_effect

PROJECT = Path(__file__).parents[4]


def _file(folder: Path, text: str) -> Path:
    file = folder / "file.config"
    file.write_text(text)
    return file


def test_models_are_read_from_text(tmp_path: Path) -> None:
    config = read_models(
        _file(
            tmp_path,
            """
            # two models
            model_config_list {
              config {
                name: "a", base_path: "/models/a", model_platform: "tensorflow"
                model_version_policy { specific { versions: [1, 2] } }
                version_labels { key: 'stable' value: 1 }
                logging_config { sampling_config { sampling_rate: 0.5 } }
              }
              config: { name: "b"; base_path: "/models/b"; model_platform: "tensorflow" }
            }
            """,
        )
    ).model_config_list.config
    assert [model.name for model in config] == ["a", "b"]
    assert list(config[0].model_version_policy.specific.versions) == [1, 2]
    assert dict(config[0].version_labels) == {"stable": 1}


@pytest.mark.parametrize(
    "text",
    [
        "model_config_list {",
        "models { }",
        'model_config_list { config { nam: "a" } }',
        'model_config_list { config { version_labels { key: "x" value: 9223372036854775808 } } }',
        "{}",
        "[1]",
        "\0",
    ],
)
def test_a_file_that_is_no_configuration_is_refused(tmp_path: Path, text: str) -> None:
    # util/proto_util.h 27-40
    file = _file(tmp_path, text)
    with pytest.raises(Refused, match="Invalid protobuf file: '") as refused:
        read_models(file)
    assert refused.value.code is Code.INVALID_ARGUMENT
    assert str(file) in refused.value.message


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for name, code in (
        ("missing", Code.NOT_FOUND),
        (".", Code.NOT_FOUND),
        ("loop", Code.NOT_FOUND),
        ("binary", Code.INVALID_ARGUMENT),
    ):
        with pytest.raises(Refused) as refused:
            read_models(tmp_path / name)
        assert refused.value.code is code, name


def test_name_and_path_are_a_configuration_of_one_model() -> None:
    # model_servers/server.cc 72-85
    (model,) = single_model("m", Path("models/m")).model_config_list.config
    assert (model.name, model.model_platform) == ("m", "tensorflow")
    assert model.base_path == str(Path.cwd() / "models" / "m")


@pytest.mark.parametrize(
    ("text", "path"),
    [  # model_servers/http_server.cc 224-239, util/prometheus_exporter.cc 156
        ("prometheus_config { enable: true }", METRICS_PATH),
        ('prometheus_config { enable: true path: "/metrics" }', "/metrics"),
        ('prometheus_config { enable: true path: "" }', METRICS_PATH),
        ('prometheus_config { enable: false path: "/metrics" }', None),
        ("prometheus_config { }", None),
        ("", None),
    ],
)
def test_the_monitoring_file_sets_the_metrics_page(
    tmp_path: Path, text: str, path: str | None
) -> None:
    assert metrics_path(_file(tmp_path, text)) == path


def test_without_a_monitoring_file_there_is_a_page() -> None:
    assert metrics_path(None) == METRICS_PATH


@pytest.mark.parametrize("text", ["prometheus { }", "prometheus_config { enable: 2 }", "enable"])
def test_another_monitoring_file_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(Refused, match="Invalid protobuf file"):
        metrics_path(_file(tmp_path, text))


_SIZES = "allowed_batch_sizes: 2 allowed_batch_sizes: {last} "


@pytest.mark.parametrize(
    "text",
    [  # servables/tensorflow/session_bundle_config.proto 149-203
        "",
        "max_batch_size { value: 8 } batch_timeout_micros { value: 0 } "
        "num_batch_threads { value: 2 }"
        ' max_enqueued_batches { value: 9 } thread_pool_name { value: "x" }'
        " pad_variable_length_inputs: true",
        "max_batch_size { value: 4 } " + _SIZES.format(last=4),
        _SIZES.format(last=1000),
        "enable_large_batch_splitting { value: true } max_batch_size { value: 8 } "
        "max_execution_batch_size { value: 4 } " + _SIZES.format(last=4),
    ],
)
def test_batching_parameters_are_accepted(tmp_path: Path, text: str) -> None:
    check_batching(_file(tmp_path, text), enabled=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [  # batching/batching_session.cc 1010-1050
        (
            "max_batch_size { value: 8 } " + _SIZES.format(last=4),
            "must match max_batch_size; last entry was 4; expected 8",
        ),
        (_SIZES.format(last=4), "must match max_batch_size; last entry was 4; expected 1000"),
        (
            "enable_large_batch_splitting { value: true } " + _SIZES.format(last=2),
            "monotonically increasing",
        ),
        (
            "enable_large_batch_splitting { value: true } max_batch_size { value: 3 } "
            + _SIZES.format(last=4),
            "less than or equal to max_batch_size; last entry was 4; expected 3",
        ),
        (
            "enable_large_batch_splitting { value: true } " + _SIZES.format(last=4),
            "equal to max_execution_batch_size; last entry was 4; expected 0",
        ),
        ("max_batch_size: 8", "Invalid protobuf file"),
        ("batch_size { value: 8 }", "Invalid protobuf file"),
    ],
)
def test_wrong_batching_parameters_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(Refused, match=message):
        check_batching(_file(tmp_path, text), enabled=True)


def test_batching_parameters_need_batching(tmp_path: Path) -> None:
    # model_servers/server.cc 237-241
    with pytest.raises(Refused, match="batching_parameters_file is set without setting") as refused:
        check_batching(_file(tmp_path, ""), enabled=False)
    assert refused.value.code is Code.INVALID_ARGUMENT


def _compose_commands() -> list[list[str]]:
    services = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())["services"]
    return [services[f"model-{role}"]["command"] for role in ("stable", "control", "canary")]


@pytest.mark.parametrize("command", _compose_commands())
def test_the_official_servers_command_line_starts_this_one(command: list[str]) -> None:
    options = parser().parse_args(command)
    assert options.grpc_port in (8510, 8520, 8530)
    assert options.rest_port == options.grpc_port + 1
    assert options.model_config_file == Path("/etc/driftline/models.config")
    assert options.file_system_poll_wait_seconds == 1
    assert "--max_num_load_retries" in without_effect(options)


@pytest.mark.parametrize(
    ("argument", "value"),
    [("", True), ("=true", True), ("=1", True), ("=false", False), ("=0", False), ("=TRUE", True)],
)
@pytest.mark.parametrize(
    "flag",
    [
        "--enable_batching",
        "--allow_version_labels_for_unavailable_models",
        "--enable_model_warmup",
        "--flush_filesystem_caches",
        "--enable-batching",
    ],
)
def test_booleans_are_written_as_for_the_official_server(
    flag: str, argument: str, value: bool
) -> None:
    options: dict[str, Any] = vars(parser().parse_args([flag + argument]))
    assert options[flag[2:].replace("-", "_")] is value


@pytest.mark.parametrize(
    "arguments",
    [
        ["--enable_batching=maybe"],
        ["--model_config=x"],  # no abbreviations
        ["--use_alts_credentials"],
        ["--manifests=never"],
        ["--port=x"],
    ],
)
def test_other_flags_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(arguments)
    assert "modelserver: error" in capsys.readouterr().err
