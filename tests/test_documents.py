"""The documents name files, folders and names that exist; links resolve; the README is short.

The commands in them are checked by `tests/deploy/test_documented_commands.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import PurePosixPath
from posixpath import normpath

import pytest

from tests.source_files import PACKAGES, PROJECT, project_files, text

MAX_README_WORDS = 1_000
MAX_PICTURE_BYTES = 150_000
DOCUMENTS = tuple(
    path for path in project_files() if path.endswith(".md") and not path.startswith("docs/")
)
CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
PATH = re.compile(r"(?<![\w./~{}<>$*:@-])[\w*-][\w.*-]*(?:/[\w.*-]+)*/?(?![\w{}<>$:@/-])")
MODULE = re.compile(rf"\b(?:{'|'.join(PACKAGES)}|tests)(?:\.[A-Za-z_]\w*)+")
LINK = re.compile(r"\[[^]]*\]\(([^)\s]+)\)")
SOURCE_ENDINGS = (".py", ".md", ".sh", ".toml", ".lock", ".yml", ".pbtxt", ".Dockerfile")
"""A word with such an ending is a file of the project, also without its folder."""
OTHER_ENDINGS = (".yaml", ".json", ".svg", ".txt", ".config")
"""A word with such an ending and a folder is a file of the project."""
WRITTEN_AT_RUN_TIME = re.compile(r"(run|log|data|state)/.*|next\.pbtxt|table\.md")
"""Files and folders that the programs write."""
NAMES_OF_OTHERS = {"MultiInference", "SessionRun", "vX"}
"""Parts of TF Serving's API that are not implemented; the form of a version tag."""


@cache
def known_paths() -> frozenset[str]:
    """Files and folders of the project; folders end with a slash."""
    folders = {
        f"{folder}/" for path in project_files() for folder in PurePosixPath(path).parents[:-1]
    }
    return frozenset(project_files()) | folders


def path_words(content: str) -> Iterator[str]:
    """The words in code style that look like a file or folder of the project.

    >>> list(path_words("`a/b.py`, `c.py`, `a/d/`, `x.svg`, `tests/e`, `p/x.svg`, 1/2, e.py"))
    ['a/b.py', 'c.py', 'a/d/', 'tests/e', 'p/x.svg']
    """
    for span in CODE.findall(content):
        for word in PATH.findall(span):
            has_folder = "/" in word.rstrip("/")
            if (
                word.endswith(("/", *SOURCE_ENDINGS))
                or (has_folder and word.endswith(OTHER_ENDINGS))
                or word.startswith(tuple(f"{name}/" for name in (*PACKAGES, "tests", "docs")))
            ):
                yield word


def exists(word: str, document: str) -> bool:
    """Whether a path exists: below the document's folder, or anywhere when it is abbreviated."""
    if WRITTEN_AT_RUN_TIME.fullmatch(word):
        return True
    if "*" in word:
        folder = PROJECT / PurePosixPath(document).parent
        return any(any(root.glob(word)) for root in (folder, PROJECT))
    endings = (word, f"{word}/")
    return any(
        path in endings or path.endswith((f"/{word}", f"/{word}/")) for path in known_paths()
    )


def module_exists(name: str) -> bool:
    """Whether a dotted name is a module or package of the project, or a name in one.

    >>> module_exists("streaming.drift.verdict.judge_drift"), module_exists("streaming.nothing")
    (True, False)
    """
    path, *parts = name.split(".")
    while parts and f"{path}/{parts[0]}/" in known_paths():
        path = f"{path}/{parts.pop(0)}"
    file = f"{path}/{parts[0]}.py" if parts else f"{path}/"
    if file not in known_paths():
        file, parts = f"{path}/__init__.py", ["", *parts]
    return not parts[1:] or all(re.search(rf"\b{part}\b", text(file)) for part in parts[1:])


def anchors(content: str) -> set[str]:
    """The anchors of a document's headings.

    >>> sorted(anchors("# Records, topics\\n## Named values"))
    ['named-values', 'records-topics']
    """
    headings = re.findall(r"^#+ (.+)$", content, re.MULTILINE)
    plain = [re.sub(r"[^\w -]", "", heading).strip().lower() for heading in headings]
    return {heading.replace(" ", "-") for heading in plain}


@cache
def source_words() -> frozenset[str]:
    """Every name and word in the sources, tests and configuration."""
    readable = (
        path
        for path in project_files()
        if path.endswith((".py", ".toml", ".yml", ".yaml")) and path != "tests/test_plain_words.py"
    )
    return frozenset(word for path in readable for word in re.findall(r"[A-Za-z_]\w*", text(path)))


def code_names(content: str) -> set[str]:
    """Names of the code: words in code style with an underscore or a capital inside.

    >>> sorted(code_names("`judge(a)`, `ids.record_id`, `GateResult`, `max_rows` and `a_file.py`"))
    ['GateResult', 'max_rows', 'record_id']
    """
    spans = re.findall(r"`([A-Za-z_][\w.]*)(?:\(.*?\))?`", content)
    words = [span for span in spans if not span.endswith((*SOURCE_ENDINGS, *OTHER_ENDINGS))]
    parts = {part for word in words for part in word.split(".")}
    return {part for part in parts if re.search(r"[a-z0-9][A-Z]|._.", part)}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_path_in_a_document_exists(document: str) -> None:
    words = sorted(set(path_words(text(document))))
    assert [word for word in words if not exists(word, document)] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_module_in_a_document_exists(document: str) -> None:
    names = {name for span in CODE.findall(text(document)) for name in MODULE.findall(span)}
    assert [name for name in sorted(names) if not module_exists(name)] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_name_of_the_code_in_a_document_exists(document: str) -> None:
    assert sorted(code_names(text(document)) - source_words() - NAMES_OF_OTHERS) == []


@pytest.mark.parametrize("document", [*DOCUMENTS, "docs/reference/records.md"])
def test_every_link_in_a_document_resolves(document: str) -> None:
    broken = []
    for target in LINK.findall(text(document)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        resolved = normpath(PurePosixPath(document).parent / path) if path else document
        is_known = not known_paths().isdisjoint({resolved, f"{resolved}/"})
        if not is_known or (anchor and anchor not in anchors(text(resolved))):
            broken.append(target)
    assert broken == []


def test_the_pictures_of_the_console_are_small_and_shown() -> None:
    readme = text("deploy/console/README.md")
    pictures = sorted((PROJECT / "docs" / "console").glob("*.webp"))
    assert len(pictures) == 3
    for picture in pictures:
        assert picture.stat().st_size < MAX_PICTURE_BYTES, picture.name
        assert f"](../../docs/console/{picture.name})" in readme


def test_the_readme_is_short() -> None:
    assert len(text("README.md").split()) <= MAX_README_WORDS


def test_the_check_finds_a_path_that_does_not_exist() -> None:
    assert not exists("streaming/drift/no_such_file.py", "README.md")
    assert not exists("streaming/no_such_folder/", "README.md")
    assert not exists("rules/*.toml", "deploy/prometheus/README.md")
    assert exists("drift/budget.py", "GLOSSARY.md")
    assert exists("rules/*.yml", "deploy/prometheus/README.md")
