"""Reads YAML, and turns whatever can be wrong with it into `ValueError`.

The YAML library raises not only its own errors: a number of 5,000 digits, an impossible date and
deep nesting each raise another type.
"""

from __future__ import annotations

from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

_TOO_DEEP = "its values are nested too deeply."


def parse_file(text: str) -> tuple[Any, Any]:
    """A file's tree with line numbers, and the same tree of plain values.

    Raises
    ------
    ValueError
        When the text is not YAML; the message has the place in the text.
    """
    try:
        tree = YAML(typ="rt").load(text)
        return tree, _plain(tree)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    except YAMLError as error:
        raise ValueError(str(error)) from error
    except Exception as error:
        raise ValueError(_one_line(error)) from error


def parse_value(text: str) -> Any:
    """The plain value of one line of YAML.

    Raises
    ------
    ValueError
        When the text is not YAML; the message is one line.

    >>> parse_value("[1, 50, 100]"), parse_value("5m"), parse_value("")
    ([1, 50, 100], '5m', None)
    """
    try:
        return _plain(YAML(typ="safe", pure=True).load(text))
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    except MarkedYAMLError as error:
        raise ValueError(_one_line(error.problem or error)) from error
    except Exception as error:
        raise ValueError(_one_line(error)) from error


def _plain(node: Any) -> Any:
    if isinstance(node, dict):
        return {str(key): _plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_plain(value) for value in node]
    return node


def _one_line(error: object) -> str:
    line = " ".join(str(error).split()).rstrip(".")
    return f"{line}.".encode(errors="backslashreplace").decode()
