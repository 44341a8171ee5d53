"""The folder of the models' own code, which lies beside `driftline.yaml`, outside this project.

Every command reads the file first, so each service finds the code wherever it was started. The
folder comes last in the import path: a folder of the user's that happens to be called like a
library or a package of Driftline never takes its place.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from deploy.config.types import Problem


def code_folder(code: str, file: Path) -> Path | None:
    """The absolute folder that `code` names, relative to the folder of `file`; None for none.

    >>> code_folder("models", Path("/srv/churn/driftline.yaml"))
    PosixPath('/srv/churn/models')
    """
    return (file.resolve().parent / Path(code).expanduser()).resolve() if code else None


def make_importable(folder: Path) -> None:
    """Add the folder at the end of this process's import path, once."""
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def code_problems(code: object, file: Path) -> list[Problem]:
    """Make the folder importable; returns what is wrong with it."""
    if not isinstance(code, str) or not code:
        return []
    folder = code_folder(code, file)
    assert folder is not None
    if not folder.is_dir():
        return [(("code",), f"{folder} is no folder; write it relative to the folder of {file}.")]
    make_importable(folder)
    return []


def hidden_packages(folder: Path, modules: dict[str, str]) -> Iterator[Problem]:
    """The models whose package lies in `folder` but is hidden by another of the same name.

    Parameters
    ----------
    folder:
        The folder of the user's code.
    modules:
        Model name → import path of its package.
    """
    for name, module in modules.items():
        top = module.partition(".")[0]
        own = [path for path in (folder / top, folder / f"{top}.py") if path.exists()]
        try:
            spec = find_spec(top) if own and top.isidentifier() else None
        except (ImportError, ValueError):
            continue  # the check of the module itself describes it
        if spec is None:
            continue
        places = [spec.origin, *(spec.submodule_search_locations or ())]
        if not any(place and Path(place).is_relative_to(folder) for place in places):
            yield (
                ("models", name, "module"),
                f"{own[0]} is hidden by an installed package of the same name "
                f"({spec.origin or places[-1]}); give the folder another name.",
            )
