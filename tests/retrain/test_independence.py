"""`retrain` reaches the serving package neither by import nor by a module's name in a string."""

from __future__ import annotations

import re
from pathlib import Path

import retrain

FOLDER = Path(retrain.__path__[0])


def test_no_source_of_retrain_names_a_module_of_serving_or_deploy() -> None:
    module = re.compile(r"\b(serving|deploy)(\.[a-z_]+)+|(from|import) (serving|deploy)\b")
    named = {
        str(file.relative_to(FOLDER)): match.group()
        for file in FOLDER.rglob("*.py")
        if (match := module.search(file.read_text()))
    }
    assert named == {}
