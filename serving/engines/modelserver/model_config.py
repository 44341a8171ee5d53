"""A ``ModelConfigList`` as values, with TF Serving's rules for accepting a new one.

Source: ``ReloadConfig`` and its helpers in ``model_servers/server_core.cc`` of TF Serving 2.19.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from serving.engines.modelserver.codes import Code, Refused, invalid
from serving.engines.modelserver.policy import EVERY_VERSION, Policy

PLATFORM = "tensorflow"
_TENSORFLOW_TYPE = 1  # ModelType.TENSORFLOW, deprecated


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSettings:
    """One model of the configuration."""

    name: str
    base_path: Path
    policy: Policy
    labels: Mapping[str, int] = field(default_factory=dict)


def read_config(
    config: Any, current: Mapping[str, ModelSettings] | None
) -> tuple[ModelSettings, ...] | None:
    """The models of a ``ModelServerConfig``; None for an empty one, which changes nothing.

    Parameters
    ----------
    config:
        The message.
    current:
        The configured models by name; None before the first configuration.

    Raises
    ------
    Refused
        With TF Serving's code and text.
    """
    kind = config.WhichOneof("config")
    if current is not None and kind != "model_config_list":
        raise Refused(
            Code.FAILED_PRECONDITION,
            "Cannot transition to requested config. It is only legal to transition "
            "from one ModelConfigList to another.",
        )
    if kind is None:
        return None
    if kind != "model_config_list":
        raise invalid("ModelServer does not yet support custom model config.")
    models = config.model_config_list.config
    names: set[str] = set()
    for model in models:
        if model.name in names:
            raise invalid(f"Illegal to list model {model.name} multiple times in config list")
        names.add(model.name)
    return tuple(_settings(model, current or {}) for model in models)


def check_platforms(config: Any) -> None:
    """Refuse platforms other than tensorflow.

    Raises
    ------
    Refused
        INVALID_ARGUMENT with TF Serving's text.
    """
    for model in config.model_config_list.config:
        platform = _platform(model)
        if platform != PLATFORM:
            raise invalid(f"Model {model.name} requests unsupported platform {platform}")


def _settings(model: Any, current: Mapping[str, ModelSettings]) -> ModelSettings:
    known = current.get(model.name)
    # Our own addition: a known model without a path keeps its folder.
    keeps_folder = known is not None and not model.base_path
    base_path = known.base_path if known and keeps_folder else _base_path(model)
    if known is not None and (platform := _platform(model)) != PLATFORM:
        raise invalid(
            f"Illegal to change a model's platform. For model {model.name} platform was "
            f"{PLATFORM} and new platform requested is {platform}"
        )
    return ModelSettings(
        name=model.name,
        base_path=base_path,
        policy=read_policy_message(model.model_version_policy),
        labels=dict(model.version_labels),
    )


def _base_path(model: Any) -> Path:
    text = model.base_path.removeprefix("file://")
    if "://" in text:
        raise invalid(f"Model {model.name} is at {text}; this server reads local folders only.")
    if not text.startswith("/"):
        raise invalid(
            f"Expected model {model.name} to have an absolute path or URI; "
            f"got base_path()={model.base_path}"
        )
    return Path(text)


def _platform(model: Any) -> str:
    """``GetPlatform``."""
    if model.model_type:
        if model.model_platform:
            raise invalid(
                "Illegal setting both ModelServerConfig::model_type (deprecated) "
                f"and ModelServerConfig::model_platform, model name is {model.name}"
            )
        if model.model_type != _TENSORFLOW_TYPE:
            raise invalid(f"ModelServerConfig::model_type choice {model.model_type} not supported.")
        return PLATFORM
    if not model.model_platform:
        raise invalid(
            "Illegal setting neither ModelServerConfig::model_type (deprecated) "
            f"nor ModelServerConfig::model_platform, model name is {model.name}"
        )
    return str(model.model_platform)


def read_policy_message(policy: Any) -> Policy:
    """``ServableVersionPolicy`` as a `Policy`; the latest version if nothing is chosen."""
    choice = policy.WhichOneof("policy_choice")
    if choice == "specific":
        return Policy(specific=tuple(policy.specific.versions))
    if choice == "all":
        return Policy(latest=EVERY_VERSION)
    return Policy(latest=policy.latest.num_versions or 1)
