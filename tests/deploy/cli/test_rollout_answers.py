"""`driftline rollout answers`: tables, charts, data, and what is said without a comparison."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deploy.views.paired_charts import draw, headline
from deploy.views.theme import VARIANTS
from serving.paired import (
    PairedAnswers,
    RecentRequests,
    ServerAnswers,
    compare,
    not_compared,
)
from serving.shadow_rules import ShadowRules
from streaming.contracts.log import MemoryLog
from streaming.contracts.records import AnswerComparison, PairedComparison
from tests.deploy.cli.builders import MODEL
from tests.deploy.cli.runner import data, run

ROWS = 400
COMMAND = f"rollout answers {MODEL}".split()


def comparison(*, flipped: bool) -> PairedComparison:
    rng = np.random.default_rng(3)
    champion = rng.beta(1.2, 2.5, ROWS)
    canary = 1.0 - champion if flipped else np.clip(champion + rng.normal(0, 0.05, ROWS), 0, 1)
    sides = [
        ServerAnswers(values=side, answered=np.ones(ROWS, bool), shapes=("[1]",))
        for side in (champion, canary)
    ]
    requests = RecentRequests(
        rows=[f"trip-{number} [/x]" for number in range(ROWS)],
        instances=[{}] * ROWS,
        slices={"payment_type": ["Cash" if number % 3 else "" for number in range(ROWS)]},
        labels=(rng.random(ROWS) < champion).astype(float),
    )
    answers = PairedAnswers(requests=requests, champion=sides[0], canary=sides[1])
    return compare(answers, ShadowRules())


def record(version: int, compared: PairedComparison) -> AnswerComparison:
    return AnswerComparison(
        record_id=f"comparison-{version}",
        model=MODEL,
        at=float(version),
        version=version,
        champion=version - 1,
        rollout_id=f"rollout-{version}",
        comparison=compared,
    )


@pytest.fixture(scope="module")
def log() -> MemoryLog:
    filled = MemoryLog()
    filled.append([record(2, comparison(flipped=False)), record(3, comparison(flipped=True))])
    return filled


def test_the_newest_comparison_is_shown_with_its_evidence(log: MemoryLog) -> None:
    shown = run(*COMMAND, log=log)
    assert shown.exit_code == 0, shown.stderr
    assert "version 3 against version 2" in shown.stdout
    assert "fail" in shown.stdout
    for text in ("order", "McNemar", "Kendall", "(missing)", "AUC", "trip-", "[/x]"):
        assert text in shown.stdout


def test_a_version_can_be_chosen(log: MemoryLog) -> None:
    shown = run(*COMMAND, "--version", "2", log=log)
    assert "version 2 against version 1" in shown.stdout
    assert "pass" in shown.stdout


def test_the_record_is_given_as_json(log: MemoryLog) -> None:
    given = data(run(*COMMAND, "--json", log=log))
    assert given["comparison"]["outcome"] == "fail"
    assert len(given["comparison"]["worst"]) == ShadowRules().worst


@pytest.mark.parametrize("options", [(), ("--version", "9")])
def test_without_a_comparison_it_says_what_comes_when(options: tuple[str, ...]) -> None:
    shown = run(*COMMAND, *options, log=MemoryLog())
    assert shown.exit_code != 0
    assert "before the first weight" in " ".join(shown.stderr.split())


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_a_chart_is_drawn(log: MemoryLog, tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"answers.{suffix}"
    shown = run(*COMMAND, "--plot", str(file), log=log)
    assert shown.exit_code == 0, shown.stderr
    assert file.stat().st_size > 1000


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_names_both_versions(tmp_path: Path, variant: str) -> None:
    file = tmp_path / f"answers{variant}.svg"
    draw(record(3, comparison(flipped=True)), file, theme=VARIANTS[variant])
    assert "version 2" in file.read_text()
    assert headline(record(3, comparison(flipped=True))).startswith("Version 3 against version 2")


def test_a_comparison_without_rows_is_shown_and_not_drawn(tmp_path: Path) -> None:
    log = MemoryLog()
    log.append([record(2, not_compared("The canary's server is away."))])
    shown = run(*COMMAND, log=log)
    assert shown.exit_code == 0, shown.stderr
    assert "The canary's server is away." in shown.stdout
    drawn = run(*COMMAND, "--plot", str(tmp_path / "a.svg"), log=log)
    assert drawn.exit_code != 0
    assert "nothing to draw" in " ".join(drawn.stderr.split())
