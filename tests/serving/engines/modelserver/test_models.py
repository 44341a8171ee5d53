"""Several models, and changes of the configuration, as TF Serving 2.19.1 takes them.

``sc`` stands for ``model_servers/server_core.cc``, ``sct`` for its test, ``fs`` for
``sources/storage_path/file_system_storage_path_source.cc``; numbers are lines.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from google.protobuf import text_format

from serving.engines.modelserver.codes import Code, Refused
from serving.engines.modelserver.config_poll import ConfigPoll
from serving.engines.modelserver.models import Models
from serving.engines.modelserver.protos import ModelServerConfig
from serving.engines.modelserver.saved_model import SavedModel
from serving.engines.modelserver.states import State
from serving.engines.modelserver.versions import Versions
from tests.waiting import wait_for


class FakeModel:
    """A model that cannot be loaded when its folder has a file ``broken``."""

    def __init__(self, path: Path) -> None:
        if (path / "broken").exists():
            raise Refused(Code.INTERNAL, "deliberately broken")
        self.path = path

    def close(self) -> None:
        """Nothing to free."""


def _version(base: Path, version: int) -> Path:
    folder = base / str(version)
    folder.mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"")
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Path:
    for model in ("a", "b"):
        for version in (1, 2, 3):
            _version(tmp_path / model, version)
    return tmp_path


@pytest.fixture
def models() -> Iterator[Models]:
    yield from _models()


@pytest.fixture
def lenient() -> Iterator[Models]:
    """With ``--allow_version_labels_for_unavailable_models``."""
    yield from _models(allow_unavailable_labels=True)


def _models(**settings: Any) -> Iterator[Models]:
    running = Models(
        lambda name, path: cast(SavedModel, FakeModel(path)),
        poll_seconds=0.02,
        quiet_seconds=0.0,
        **settings,
    )
    yield running
    running.stop()


def _config(store: Path, text: str) -> Any:
    """The configuration; STORE stands for the folder of the models."""
    return text_format.Parse(text.replace("STORE", str(store)), ModelServerConfig())


def _entry(name: str, extra: str = "", path: str = "STORE/") -> str:
    base_path = f'base_path: "{path}{name}"'
    return f'config {{ name: "{name}" {base_path} model_platform: "tensorflow" {extra} }}'


def _list(*entries: str) -> str:
    return f"model_config_list {{ {' '.join(entries)} }}"


def _available(models: Models, name: str) -> set[int]:
    versions = models.find(name)
    assert versions is not None
    return {e.version for e in versions.entries() if e.state is State.AVAILABLE}


def _until(models: Models, name: str, versions: set[int]) -> None:
    wait_for(lambda: _available(models, name) == versions, seconds=5)


def _find(models: Models, name: str) -> Versions:
    versions = models.find(name)
    assert versions is not None
    return versions


@pytest.mark.parametrize(
    ("policy", "selected"),
    [
        ("", {3}),  # fs 293-299: the default is the latest version
        ("model_version_policy { latest {} }", {3}),  # fs 148: at least one
        ("model_version_policy { latest { num_versions: 0 } }", {3}),
        ("model_version_policy { latest { num_versions: 2 } }", {2, 3}),
        ("model_version_policy { latest { num_versions: 99 } }", {1, 2, 3}),
        ("model_version_policy { all {} }", {1, 2, 3}),  # fs 97-114
        ("model_version_policy { specific { versions: 1 versions: 3 } }", {1, 3}),  # fs 210-247
        ("model_version_policy { specific { versions: 2 versions: 2 versions: 9 } }", {2}),
        ("model_version_policy { specific {} }", set()),  # fs 177-184
    ],
)
def test_the_policy_selects_the_versions(
    models: Models, store: Path, policy: str, selected: set[int]
) -> None:
    config = _config(store, _list(_entry("a", policy), _entry("b")))
    assert models.reload(config, wait_seconds=5)
    assert _available(models, "a") == selected
    assert _available(models, "b") == {3}
    assert models.names == ("a", "b")


def test_a_model_that_is_left_out_is_unloaded_and_can_come_back(
    models: Models, store: Path
) -> None:
    # sct 132-160 ReloadConfigUnloadsModels, 162-187 ...LoadingAPreviouslyUnloadedModel
    models.reload(_config(store, _list(_entry("a"), _entry("b"))), wait_seconds=5)
    models.reload(_config(store, _list(_entry("b"))))
    _until(models, "a", set())
    assert _available(models, "b") == {3}
    models.reload(_config(store, _list(_entry("a"), _entry("b"))), wait_seconds=5)
    _until(models, "a", {3})


def test_the_folder_of_a_model_can_change(models: Models, store: Path) -> None:
    # sct 189-229 ReloadConfigChangeModelBasePath
    _version(store / "elsewhere" / "a", 7)
    models.reload(_config(store, _list(_entry("a"))), wait_seconds=5)
    models.reload(_config(store, _list(_entry("a", path="STORE/elsewhere/"))))
    _until(models, "a", {7})


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        (  # sc 94-97, sct 414-420
            _list(_entry("b"), _entry("b")),
            Code.INVALID_ARGUMENT,
            "Illegal to list model b multiple times in config list",
        ),
        (  # sc 115-120, sct 265-270
            _list(_entry("b", path="models/")),
            Code.INVALID_ARGUMENT,
            "Expected model b to have an absolute path or URI; got base_path()=models/b",
        ),
        (  # an empty path is relative too
            'model_config_list { config { name: "b" model_platform: "tensorflow" } }',
            Code.INVALID_ARGUMENT,
            "Expected model b to have an absolute path or URI; got base_path()=",
        ),
        (  # sc 71-76
            'model_config_list { config { name: "b" base_path: "/b" } }',
            Code.INVALID_ARGUMENT,
            "Illegal setting neither ModelServerConfig::model_type (deprecated) "
            "nor ModelServerConfig::model_platform, model name is b",
        ),
        (  # sc 54-58, sct 387-395
            _list(_entry("b", "model_type: TENSORFLOW")),
            Code.INVALID_ARGUMENT,
            "Illegal setting both ModelServerConfig::model_type (deprecated) "
            "and ModelServerConfig::model_platform, model name is b",
        ),
        (  # sc 62-66
            'model_config_list { config { name: "b" base_path: "/b" model_type: OTHER } }',
            Code.INVALID_ARGUMENT,
            "ModelServerConfig::model_type choice 2 not supported.",
        ),
        (  # sc 628-631, sct 422-499
            'model_config_list { config { name: "b" base_path: "/b" model_platform: "tflite" } }',
            Code.INVALID_ARGUMENT,
            "Model b requests unsupported platform tflite",
        ),
        (  # sc 144-149, sct 597-629
            'model_config_list { config { name: "a" base_path: "/a" model_platform: "tflite" } }',
            Code.INVALID_ARGUMENT,
            "Illegal to change a model's platform. For model a platform was tensorflow and new "
            "platform requested is tflite",
        ),
        (  # sc 451-461, sct 358-370
            'custom_model_config { type_url: "x" }',
            Code.FAILED_PRECONDITION,
            "Cannot transition to requested config. It is only legal to transition "
            "from one ModelConfigList to another.",
        ),
        (  # the same lines: an empty configuration cannot follow a list
            "",
            Code.FAILED_PRECONDITION,
            "Cannot transition to requested config. It is only legal to transition "
            "from one ModelConfigList to another.",
        ),
        (  # sc 539-549, sct 806-829; b is fine and must not be loaded
            _list(_entry("a", 'version_labels { key: "x" value: 2 }'), _entry("b")),
            Code.FAILED_PRECONDITION,
            "Request to assign label to version 2 of model a, "
            "which is not currently available for inference",
        ),
        (  # of a model that is not there yet, no version is available
            _list(_entry("a"), _entry("b", 'version_labels { key: "x" value: 3 }')),
            Code.FAILED_PRECONDITION,
            "Request to assign label to version 3 of model b, "
            "which is not currently available for inference",
        ),
        (  # a good label of one model falls with a bad one of another
            _list(
                _entry("a", 'version_labels { key: "y" value: 3 }'),
                _entry("b", 'version_labels { key: "x" value: 3 }'),
            ),
            Code.FAILED_PRECONDITION,
            "Request to assign label to version 3 of model b, "
            "which is not currently available for inference",
        ),
        (
            _list(_entry("b", path="gs://bucket/")),
            Code.INVALID_ARGUMENT,
            "Model b is at gs://bucket/b; this server reads local folders only.",
        ),
    ],
)
def test_a_refused_reload_changes_nothing(
    models: Models, store: Path, text: str, code: Code, message: str
) -> None:
    models.reload(_config(store, _list(_entry("a"))), wait_seconds=5)
    models.reload(_config(store, _list(_entry("a", 'version_labels { key: "x" value: 3 }'))))
    with pytest.raises(Refused) as refused:
        models.reload(_config(store, text))
    assert (refused.value.code, refused.value.message) == (code, message)
    assert models.names == ("a",)
    assert models.find("b") is None
    assert _available(models, "a") == {3}
    with _find(models, "a").hold(None, "x") as (version, _):
        assert version == 3
    with pytest.raises(Refused, match="Unrecognized servable version label: y"):
        _find(models, "a").hold(None, "y").__enter__()


def test_an_empty_first_configuration_waits_for_another(models: Models, store: Path) -> None:
    # sc 462-467
    models.reload(ModelServerConfig())
    models.reload(_config(store, _list(_entry("a"))), wait_seconds=5)
    assert _available(models, "a") == {3}


def test_labels_are_those_of_the_last_reload(models: Models, store: Path) -> None:
    # sc 514-516 and 575-576: the map is built anew and swapped
    policy = "model_version_policy { all {} }"
    labels = 'version_labels { key: "stable" value: 1 } version_labels { key: "canary" value: 2 }'
    models.reload(_config(store, _list(_entry("a", policy))), wait_seconds=5)
    models.reload(_config(store, _list(_entry("a", policy + labels))))
    with _find(models, "a").hold(None, "canary") as (version, _):
        assert version == 2
    models.reload(
        _config(store, _list(_entry("a", policy + 'version_labels { key: "stable" value: 3 }')))
    )
    with _find(models, "a").hold(None, "stable") as (version, _):
        assert version == 3
    with pytest.raises(Refused, match="Unrecognized servable version label: canary"):
        _find(models, "a").hold(None, "canary").__enter__()


def test_a_label_outlives_its_version(models: Models, store: Path) -> None:
    # sc 817-826: the label still names the version, and the version is not servable
    models.reload(_config(store, _list(_entry("a"))), wait_seconds=5)
    labelled = 'model_version_policy { specific { versions: 2 } } version_labels { key: "x" '
    models.reload(_config(store, _list(_entry("a", labelled + "value: 3 }"))))
    _until(models, "a", {2})
    with pytest.raises(Refused, match=r"Servable not found for request: Specific\(a, 3\)"):
        _find(models, "a").hold(None, "x").__enter__()


def test_with_the_flag_a_new_label_may_name_any_version(lenient: Models, store: Path) -> None:
    # sc 528-537, sct 831-852 and 854-884
    label = 'version_labels {{ key: "x" value: {} }}'
    lenient.reload(_config(store, _list(_entry("a", label.format(3)))), wait_seconds=5)
    with _find(lenient, "a").hold(None, "x") as (version, _):
        assert version == 3
    with pytest.raises(Refused, match="version 2 of model a, which is not currently available"):
        lenient.reload(_config(store, _list(_entry("a", label.format(2)))))
    lenient.reload(_config(store, _list(_entry("a"))))  # the label is gone: it is new again
    lenient.reload(_config(store, _list(_entry("a", label.format(99)))))


def test_a_new_model_that_cannot_be_loaded_is_reported(models: Models, store: Path) -> None:
    # sc 311-333; servable_id.h 47-49
    (store / "b" / "3" / "broken").touch()
    models.reload(_config(store, _list(_entry("a"))), wait_seconds=5)
    with pytest.raises(Refused) as refused:
        models.reload(_config(store, _list(_entry("a"), _entry("b"))), wait_seconds=5)
    assert refused.value.code is Code.UNKNOWN
    assert refused.value.message == (
        "1 model(s) did not become available: {{{name: b version: 3} due to error: "
        "INTERNAL: deliberately broken}, }"
    )
    (store / "b" / "3" / "broken").unlink()
    _until(models, "b", {3})


@pytest.mark.parametrize("gone", ["missing", "file", "loop"])
def test_a_model_without_a_readable_folder_does_not_disturb_the_others(
    models: Models, store: Path, gone: str
) -> None:
    # fs 253-262: an error of one folder changes nothing
    bad = store / "c"
    if gone == "file":
        bad.write_bytes(b"x")
    elif gone == "loop":
        bad.symlink_to(bad)
    models.reload(_config(store, _list(_entry("a"), _entry("c"))), wait_seconds=5)
    assert _available(models, "a") == {3}
    assert _available(models, "c") == set()
    bad.unlink(missing_ok=True)
    _version(bad, 1)
    _until(models, "c", {1})


def test_the_file_is_read_again(models: Models, store: Path) -> None:
    # server.cc 152-168 and 322-337
    file = store / "models.config"
    file.write_text(str(_config(store, _list(_entry("a")))))
    poll = ConfigPoll(file, models, seconds=0.02)
    poll.start()
    try:
        wait_for(lambda: models.names == ("a",))
        _until(models, "a", {3})
        file.write_text("no configuration")
        models_before = models.names
        file.unlink()
        label = 'version_labels { key: "x" value: 3 }'
        file.write_text(str(_config(store, _list(_entry("a", label), _entry("b")))))
        wait_for(lambda: models.names == ("a", "b"))
        assert models_before == ("a",)
        with _find(models, "a").hold(None, "x") as (version, _):
            assert version == 3
        file.write_text(str(_config(store, _list(_entry("b", label)))))
        wait_for(lambda: models.names == ("b",))
        _until(models, "a", set())
    finally:
        poll.stop()


def test_reading_the_file_again_does_not_retry_what_failed(models: Models, store: Path) -> None:
    # aspired_versions_manager.cc 327-350: a version that stays aspired is not loaded again
    (store / "a" / "2" / "broken").touch()
    policy = "model_version_policy { specific { versions: 2 } }"
    config = _config(store, _list(_entry("a", policy)))
    with pytest.raises(Refused, match="did not become available"):
        models.reload(config, wait_seconds=5)
    entry = _find(models, "a").entries()[0]
    models.reload(config, retry=False)
    models.reload(config, retry=False)
    assert _find(models, "a").entries()[0] is entry
    models.reload(config)
    wait_for(lambda: _find(models, "a").entries()[0] is not entry)
