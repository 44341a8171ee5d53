"""Writes a guessed project into a folder; nothing is overwritten unless that is asked for."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from deploy.config.atomic_file import write_atomic
from deploy.project import texts
from deploy.project.guess import ProjectGuess
from deploy.project.settings_text import Topics, settings_text, topics_of
from streaming.contracts.errors import ConfigurationError, Conflict

MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def package_name(model: str, folder: Path) -> str:
    """The name of the model's package: an identifier that no installed package has.

    Raises
    ------
    ConfigurationError
        When the model's name cannot be one.
    """
    if not MODEL_NAME.fullmatch(model):
        raise ConfigurationError(
            f"{model!r} is not a usable name; use letters, digits, dots, - and _, as in churn."
        )
    name = re.sub(r"\W", "_", model).lower()
    name = f"model_{name}" if name[0].isdigit() or keyword.iskeyword(name) else name
    return name if _is_free(name, folder) else f"{name}_model"


def project_files(
    model: str,
    package: str,
    guess: ProjectGuess,
    schema: str,
    label_value: object,
    topics: Topics | None = None,
) -> dict[str, str]:
    """Path in the project → content.

    Parameters
    ----------
    schema:
        Text of the TFDV schema.
    label_value:
        A label as a label record holds it.
    topics:
        The model's topics; None = new ones, called like the model.
    """
    return {
        "driftline.yaml": settings_text(model, package, guess, topics or topics_of(model)),
        f"{package}/__init__.py": f'"""The model {model}."""\n',
        f"{package}/contract.py": texts.contract_text(model, package, guess),
        f"{package}/preprocessing.py": texts.preprocessing_text(package, guess.label),
        f"{package}/model.py": texts.model_text(package),
        f"{package}/schema.pbtxt": schema,
        f"tests/test_{package}.py": texts.test_text(model, package, guess, label_value),
    }


def refuse_existing(folder: Path, names: Mapping[str, str] | list[str], *, force: bool) -> None:
    """Raise `Conflict` when one of the files exists and `force` is not given."""
    existing = [name for name in names if (folder / name).exists()]
    if existing and not force:
        raise Conflict(
            f"{folder} has {', '.join(existing)} already; nothing was written. --force overwrites, "
            "--into names another folder."
        )


def write_project(folder: Path, files: Mapping[str, str]) -> None:
    """Write each file, and its folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, content)


def _is_free(name: str, folder: Path) -> bool:
    """Whether no package of this name would hide the project's own."""
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        return True
    places = [spec.origin, *(spec.submodule_search_locations or ())] if spec else []
    own = folder.resolve()
    return all(place is None or Path(place).is_relative_to(own) for place in places)
