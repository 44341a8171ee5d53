"""Sends the same requests to two model servers, side by side and at a bounded rate."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.engines.shadow.predict_client import PredictClient, RequestFailed, RowAnswer
from serving.paired import (
    PairedAnswers,
    RecentRequests,
    ServerAnswers,
    compare,
    not_compared,
)
from serving.shadow_rules import ShadowRules
from streaming.contracts.answer_records import PairedComparison
from streaming.contracts.records import ModelVersion
from streaming.contracts.task import BINARY, Task

MAX_SPLIT = 3
"""Refused batches of a server that are sent again row by row, to find the row that is refused."""
MAX_PROBLEMS = 5
_SHARE_OF_DEADLINE = 0.5
"""The rest of the time is for reading the events before, and for a second comparison."""


@dataclass(slots=True)
class _Collected:
    """The answers of one server so far."""

    client: PredictClient
    answers: list[RowAnswer | None] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    unreached: int = 0
    split: int = 0

    def ask(self, batch: Sequence[Mapping[str, Any]]) -> None:
        """Add the answers to a batch; a failed one is sent again, then row by row if refused."""
        for attempt in (1, 2):
            try:
                self.answers += self.client.predict(batch)
                return
            except RequestFailed as error:
                failure = error
            if attempt == 1:
                time.sleep(0.05)
        if failure.refused and len(batch) > 1 and self.split < MAX_SPLIT:
            self.split += 1
            for row in batch:
                self.ask([row])
            return
        self.answers += [None] * len(batch)
        self.unreached += 0 if failure.reached else len(batch)
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(str(failure))

    def result(self) -> ServerAnswers:
        """All answers; a row's shape counts only where it was answered."""
        values = [math.nan if answer is None else answer.value for answer in self.answers]
        shapes = {answer.shape for answer in self.answers if answer is not None}
        return ServerAnswers(
            values=np.array(values, dtype=np.float64),
            numbers=_matrix(self.answers),
            answered=np.array([answer is not None for answer in self.answers], dtype=bool),
            outputs=self.client.outputs(),
            shapes=tuple(sorted(shapes)),
            unreached=self.unreached,
            problems=tuple(self.problems),
        )


def _matrix(answers: Sequence[RowAnswer | None]) -> NDArray[np.float64]:
    """All numbers of the answers, [rows, columns]; NaN where there is none.

    A row that is shorter than others has its last number only.
    """
    rows = [() if row is None else row.numbers or (row.value,) for row in answers]
    columns = max((len(row) for row in rows), default=1)
    matrix = np.full((len(rows), max(columns, 1)), np.nan)
    for number, row in enumerate(rows):
        if row and len(row) == columns:
            matrix[number] = row
        elif row:
            matrix[number, -1] = row[-1]
    return matrix


def ask_both(
    requests: RecentRequests,
    champion: PredictClient,
    canary: PredictClient,
    rules: ShadowRules,
    *,
    given_up: Callable[[], bool] = lambda: False,
) -> tuple[RecentRequests, ServerAnswers, ServerAnswers]:
    """Send each batch to both servers at the same moment; returns the requests that were sent.

    Fewer than all are sent when the time is over, or once `given_up` returns True.
    """
    sides = _Collected(champion), _Collected(canary)
    started = time.monotonic()
    end = started + rules.deadline_seconds * _SHARE_OF_DEADLINE
    sent = 0
    with ThreadPoolExecutor(2) as threads:
        for number, first in enumerate(range(0, len(requests.rows), rules.batch)):
            due = started + number / rules.batches_per_second
            time.sleep(max(0.0, due - time.monotonic()))
            if given_up() or time.monotonic() > end:
                break
            batch = requests.instances[first : first + rules.batch]
            for done in [threads.submit(side.ask, batch) for side in sides]:
                done.result()
            sent += len(batch)
    return _first(requests, sent), sides[0].result(), sides[1].result()


def _first(requests: RecentRequests, count: int) -> RecentRequests:
    if count >= len(requests.rows):
        return requests
    return replace(
        requests,
        rows=requests.rows[:count],
        instances=requests.instances[:count],
        slices={name: texts[:count] for name, texts in requests.slices.items()},
        labels=None if requests.labels is None else requests.labels[:count],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RestAnswers:
    """Compares the answers of two servers, each with one of the versions; blocks.

    No client's request is involved, and neither is Envoy.
    """

    champion_url: str
    """REST address of the server that has the champion's version: the control arm's."""
    canary_url: str
    """REST address of the canary's server."""
    rules: ShadowRules
    task: Task = BINARY
    """What both versions predict."""
    requests: Callable[[Callable[[], bool]], RecentRequests]
    """Reads recent events; ends early once its argument returns True."""

    def compare(
        self, version: ModelVersion, champion: int, given_up: Callable[[], bool] = lambda: False
    ) -> PairedComparison:
        """Ask both servers and compare; too few events and silent servers are outcomes.

        Raises
        ------
        TemporaryError
            When the events cannot be read now.
        """
        requests = self.requests(given_up)
        if len(requests.rows) < self.rules.min_rows:
            reason = (
                f"The last windows have {len(requests.rows)} usable events; the comparison needs "
                f"{self.rules.min_rows}."
            )
            return not_compared(reason, requested=len(requests.rows), missing=True)
        seconds = self.rules.timeout_seconds
        first = PredictClient(self.champion_url, version.model, champion, timeout_seconds=seconds)
        second = PredictClient(
            self.canary_url, version.model, version.version, timeout_seconds=seconds
        )
        try:
            sent, by_champion, by_canary = ask_both(
                requests, first, second, self.rules, given_up=given_up
            )
        finally:
            first.close()
            second.close()
        answers = PairedAnswers(
            requests=sent,
            champion=by_champion,
            canary=by_canary,
            retrained_for=version.cause,
            task=self.task,
        )
        return compare(answers, self.rules)
