"""Names and prose use the field's terms: words of the project's former private dialect are refused.

`python -m tests.test_plain_words` lists every finding by file.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import PurePath

from tests.source_files import project_files, python_files, text, tree

TEXT_FILES = (".py", ".md", ".yml", ".yaml", ".toml", ".sh", ".properties", ".pbtxt", ".Dockerfile")
TEXT_NAMES = (
    "Makefile",
    "tests/run",
    ".ci/run",
    "deploy/grafana/dashboards/driftline-canary.json",
    "deploy/grafana/dashboards/driftline-cost.json",
    "deploy/grafana/dashboards/driftline-drift.json",
    "deploy/grafana/dashboards/driftline-quality.json",
    "deploy/grafana/dashboards/driftline-retrain.json",
    "deploy/grafana/dashboards/driftline-serving.json",
    "deploy/grafana/dashboards/driftline-stream.json",
    "deploy/grafana/dashboards/driftline.json",
)
THIS_FILE = "tests/test_plain_words.py"


@dataclass(frozen=True, slots=True)
class Word:
    """A pattern that no text may contain, and what to write instead."""

    pattern: str
    instead: str
    only: str = ""
    """Path prefix where the pattern is refused; empty = everywhere."""
    prose: bool = False
    """Refused in documents, comments and strings, but allowed as a name in Python code."""


WORDS = (
    # statistics
    Word(r"yard[ _]?sticks?", "reference or baseline"),
    Word(r"wobbl\w*", "day variation"),
    Word(r"(?<![a-z])stray\w*", "late event, or day variation"),
    Word(r"(?<![a-z])lanes?(?![a-z])", "alarm rule, raised_by"),
    Word(r"\bcreep\w*", "slow change, feature CUSUM"),
    Word(r"(?<!-)\blasting\b", "persistent, propagated"),
    Word(r"\bfamiliar\b", "display distances"),
    Word(r"\brulers?\b", "score directions"),
    Word(r"\bFeatureSums\b", "FeatureCusum"),
    Word(r"\blimit_of\b", "critical_effect", only="streaming/"),
    Word(r"(?-i:\bUNSEEN\b)", "NO_DISPLAY"),
    Word(r"\(together\)", "(correlation)"),
    Word(r"\btally\b|\btallies\b", "count"),
    Word(r"for people's eyes", "display"),
    # stream job
    Word(r"disorder", "max_out_of_orderness"),
    Word(r"\bticks?\b", "poll", only="streaming/"),
    Word(r"\blooks?\b(?! (at|up|for|like)\b)", "batch", only="streaming/quality/"),
    Word(r"\bhulls\b", "offset_spans"),
    Word(r"\bmisfits?\b", "rejected field"),
    Word(r"\bend_of_arrival\b", "accounting_window"),
    Word(r"schema_?desk|\bdesk\b", "schema step, schema validator"),
    Word(r"\bSchemaKept\b|\bInForce\b", "SchemaStepState, ActiveSchema"),
    Word(r"\bReadValues\b|\bOnlyOf\b|\bkafka_values\b", "ReadRecords, KeepRecords"),
    Word(r"\bDirectJob\b", "LocalJob"),
    Word(
        r"(?<!dead[ \n-])(?<!capital )(?<!Processing )(?<![\"'])\bletters?\b(?!, digits|-|[\"'])",
        "dead letter",
        prose=True,
    ),
    Word(r"topic `?answers\b|[\"']answers[\"']", "command-replies"),
    # serving and retrain
    Word(r"(?<![a-z])twins?(?![a-z])", "control"),
    Word(r"\bsplitters?\b", "traffic router, Envoy"),
    Word(r"\bbad_looks\b", "bad_checks"),
    Word(r"\bwanted_(split|loads)\b", "desired_split, desired_loads"),
    Word(r"\bMemoryWorld\b|\bworld\.flow\b", "InMemoryServing, advance_traffic"),
    Word(r"\bQualityBook\b", "QualityMonitor"),
    Word(r"\bpatience\w*", "grace period"),
    Word(r"x-rt-", "x-driftline-"),
    Word(r"[\"'`]guarded[\"'`]", "ejected"),
    Word(r"\bobey\w*|\bheeds?\b", "apply, respond to"),
    # deploy and tests
    Word(r"\bhouses?\b", "Deployment, Driftline, the project"),
    Word(r"\bserving_(toy|street)\b|\btoy\b", "fake model server"),
    Word(r"\bstreets?\b|\btowns?\b", "serving stack"),
    Word(r"\bpeers\b", "competitors"),
    Word(r"\bstudy\b", "simulations"),
    Word(r"(?<!os\.)(?<!ast\.)\bwalk(s|ed|ing)?\b(?!\()", "flow, integration test"),
    Word(r"\bkeeper\b|\bstory\b", "supervised process, timeline"),
    Word(r"\b_?birth\b|\bbroken_peace\b|\bpeace\b", "bootstrap, fails_quiet"),
    Word(r"\b(?!most_common\b)most_[a-z]\w*", "max_…"),
    Word(r"\bwanted\.json\b", "desired.json"),
    # sentences
    Word(r"\bpolite end\b", "graceful shutdown"),
    Word(r"\bmended, not learnt\b", "the data is broken, so no retrain was started"),
    Word(r"\bso many in so long\b", "a rate limit"),
    Word(r"\bthose of them whose\b|\bof whom\b", "normal word order"),
    Word(r"\bwho reads what\b|\bwho heeds\b", "normal word order"),
    Word(r"\bSay which\b|\bHang the command\b", "Show the version; register the command"),
    Word(r"\bunasked\b|\bhas to fear\b|\bhave to fear\b", "unexpectedly"),
    Word(r"\bso many\b(?! that\b)", "this many, or the quantity by its name"),
    Word(r"\bmend(s|ed|ing)?\b", "fix, correct"),
    Word(r"\bchance gives\b", "expected under no drift"),
)


def _names(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


CLASSES = _names(
    """
    Answer Arrival Ask Asked Before Creeping Days Editor Evidence Expected Keeper Lane Ledger Meter
    Misconfigured Misfit Moment Moved Overlap Part Past Permanent Place Places Pooled Ports
    Reading Rests Ruler Seen Settled Situation Slow Spending Split Splitter Story Stray Strayed
    Strays Sums Tally Temporary Track Unreachable Unreadable Watch WindowPartial
    """
)
"""Class names that said too little, or that several classes shared."""

IDENTIFIERS = _names(
    """
    _null _news _quiet _recall _saw _set_aside _take_out alike asks attained broken_peace
    founded go_back note_window objection persistence rests share_lane slow_lane summing
    turned worth
    """
)
"""Names of functions, parameters, attributes and variables."""

MODULES = _names(
    """
    arrivals asking book cells chance changed_rules counted creeping days direct evidence familiar
    head instruments judge keeper lanes lasting ledger life loop loops member meters numbers overlap
    paced partials piped prepared promoting reach reading rulers shares slow slow_shares spec
    specs spending stopping story strayed strays summing tally ticks together track wanted wiring
    wobble yardstick
    """
)
"""Names of modules."""

LOCALS = _names("one found there made asked here rest said wanted told")
"""Names of values that do not tell what the value is; only comprehensions may use them."""


REST_API = ("streaming/engines/flink/client.py", "tests/streaming/engines/conftest.py")
"""Files in which `rest` is the address of Flink's REST API."""


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One place with a refused word."""

    path: str
    line: int
    message: str


def _is_text(path: str) -> bool:
    return path != THIS_FILE and (path.endswith(TEXT_FILES) or path in TEXT_NAMES)


def _prose(content: str) -> str:
    """Comments and strings of a Python source, the rest blanked out; lines keep their numbers."""
    lines: list[list[str]] = [[" "] * len(line) for line in content.split("\n")]
    for token in tokenize.generate_tokens(io.StringIO(content).readline):
        if token.type not in (tokenize.COMMENT, tokenize.STRING):
            continue
        words = re.sub(r"\{[^{}]*\}", lambda match: " " * len(match.group()), token.string)
        (row, column), parts = token.start, words.split("\n")
        for offset, part in enumerate(parts):
            start = column if offset == 0 else 0
            lines[row - 1 + offset][start : start + len(part)] = part
    return "\n".join("".join(line) for line in lines)


def _line(content: str, position: int) -> int:
    return content.count("\n", 0, position) + 1


@cache
def words_found() -> tuple[Finding, ...]:
    """Refused words in sources, documents and messages."""
    patterns = [(word, re.compile(word.pattern, re.IGNORECASE)) for word in WORDS]
    findings = []
    for path in filter(_is_text, project_files()):
        content = text(path)
        for word, pattern in patterns:
            if not path.startswith(word.only):
                continue
            if pattern.search(content) is None:
                continue
            searched = _prose(content) if word.prose and path.endswith(".py") else content
            for match in pattern.finditer(searched):
                message = f"{match.group()!r}: write {word.instead}"
                findings.append(Finding(path, _line(content, match.start()), message))
    return tuple(sorted(findings))


def _identifiers(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Name(id=name) | ast.arg(arg=name) | ast.Attribute(attr=name):
            yield name
        case ast.FunctionDef(name=name) | ast.keyword(arg=str(name)):
            yield name
        case ast.alias(name=name, asname=renamed):
            yield renamed or name


@cache
def names_found() -> tuple[Finding, ...]:
    """Refused names of classes, functions, parameters and modules in Python files."""
    findings = []
    for path in python_files():
        if PurePath(path).stem.removeprefix("test_") in MODULES:
            findings.append(Finding(path, 1, "the module's name is refused"))
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ClassDef) and node.name in CLASSES:
                findings.append(Finding(path, node.lineno, f"class {node.name} is refused"))
            for name in _identifiers(node):
                if name in IDENTIFIERS:
                    line = getattr(node, "lineno", 0)
                    findings.append(Finding(path, line, f"identifier {name!r} is refused"))
    return tuple(sorted(set(findings)))


def _targets(node: ast.AST) -> Iterator[ast.expr]:
    match node:
        case ast.Assign(targets=targets):
            yield from targets
        case ast.AnnAssign(target=target) | ast.AugAssign(target=target):
            yield target
        case ast.NamedExpr(target=target):
            yield target
        case ast.For(target=target) | ast.AsyncFor(target=target):
            yield target
        case ast.withitem(optional_vars=ast.expr() as target):
            yield target


@cache
def locals_found() -> tuple[Finding, ...]:
    """Assignments and loops whose variable does not say what it holds."""
    findings = []
    for path in python_files():
        refused = LOCALS - {"rest"} if path in REST_API else LOCALS
        for statement in ast.walk(tree(path)):
            for target in _targets(statement):
                for node in ast.walk(target):
                    match node:
                        case ast.Name(id=name, ctx=ast.Store()) if name in refused:
                            findings.append(Finding(path, node.lineno, f"variable {name!r}"))
    return tuple(sorted(findings))


def _report(findings: tuple[Finding, ...]) -> str:
    lines = []
    for path, of_file in groupby(sorted(findings), key=lambda finding: finding.path):
        lines.append(path)
        lines += [f"  {finding.line}: {finding.message}" for finding in of_file]
    return "\n".join(lines)


def test_sources_and_documents_use_plain_words() -> None:
    assert not words_found(), "\n" + _report(words_found())


def test_classes_functions_and_modules_have_plain_names() -> None:
    assert not names_found(), "\n" + _report(names_found())


def test_variables_are_named_after_what_they_hold() -> None:
    assert not locals_found(), "\n" + _report(locals_found())


def test_a_refused_word_is_found_where_it_stands() -> None:
    pattern = next(word.pattern for word in WORDS if word.instead == "dead letter")
    refused = re.compile(pattern, re.IGNORECASE)
    assert refused.search("a letter with its reason")
    assert not refused.search("a dead letter, dead_letters, dead-letters, capital letters")


if __name__ == "__main__":
    print(_report(words_found() + names_found() + locals_found()))  # noqa: T201
