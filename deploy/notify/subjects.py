"""What a message is about: the model's picture, its open approval request, and the decision.

Everything comes from the projection, as on the console's pages, and a decision goes the console's
way.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import structlog

from deploy.app.deployment import Deployment
from deploy.notify.alerts import AlertGroup
from deploy.notify.blocks import Question
from deploy.notify.buttons import Press
from deploy.notify.console_decision import decide
from deploy.notify.slack import OpenRequest, Picture
from deploy.projection.current import current_reader, projection_folder
from deploy.projection.reader import ProjectionReader
from deploy.projection.writer import ProjectionWriter
from streaming.contracts.errors import Conflict, DriftlineError
from streaming.contracts.records import ApprovalRequest, DriftVerdict

PICTURED = frozenset({"drift", "approval", "rollout", "quality", "schema"})
"""Causes whose messages have the drift of the model as their picture."""
WINDOWS = 120
DRAWING_SECONDS = 45.0

log = structlog.get_logger()


@dataclass
class Subjects:
    """Looks things up for messages.

    Parameters
    ----------
    console:
        Address of the console, without a slash at its end.
    """

    deployment: Deployment
    console: str
    now: Callable[[], float] = time.time

    @contextmanager
    def reader(self) -> Iterator[ProjectionReader | None]:
        """The projection as of now; None while it is behind."""
        home, bootstrap = self.deployment.home, self.deployment.bootstrap
        with suppress(Conflict):  # the console runs and keeps it
            ProjectionWriter(projection_folder(home, bootstrap)).close()  # makes it where needed
        with self.deployment.log() as records:
            reader = current_reader(home, bootstrap, records)
        try:
            yield reader
        finally:
            if reader is not None:
                reader.close()

    def request(self, model: str) -> OpenRequest | None:
        """The open approval request of a model; None without one, or while it is not known."""
        try:
            with self.reader() as reader:
                if reader is None:
                    return None
                rows = [row for row in reader.open_requests() if row.model == model]
                request = reader.record(rows[0].record_id, ApprovalRequest) if rows else None
        except DriftlineError as error:
            log.warning("approval.unknown", model=model, reason=str(error))
            return None
        return (
            None
            if request is None
            else OpenRequest(question_of(request, self.console), request.digest)
        )

    def picture(self, group: AlertGroup) -> Picture | None:
        """The drift of the model that an alert is about; None where there is none to draw."""
        if group.cause not in PICTURED or not group.model:
            return None
        try:
            with self.reader() as reader:
                verdicts = [] if reader is None else reader.newest(DriftVerdict, group.model)
            if not verdicts:
                return None
            folder = projection_folder(self.deployment.home, self.deployment.bootstrap)
            png = self._drawn(folder, group.model)
        except (DriftlineError, BrokenProcessPool, TimeoutError) as error:
            log.warning("picture.missing", model=group.model, reason=str(error))
            return None
        newest = verdicts[0]
        return Picture(png, f"Drift of {group.model} over the last windows: {newest.headline}")

    def decide(self, press: Press) -> str:
        """Decide as the console does; returns what became of it, in a sentence."""
        try:
            with self.reader() as reader:
                if reader is None:
                    return "Nothing was decided: the projection is behind. Press again in a minute."
                return decide(self.deployment, reader, press, now=self.now)
        except DriftlineError as error:
            return f"Nothing was decided: {error}"

    def _drawn(self, folder: Path, model: str) -> bytes:
        """Drawn in a process of its own, which foreign text may end."""
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(max_workers=1, mp_context=context) as process:
            return process.submit(draw, folder, model).result(timeout=DRAWING_SECONDS)


def draw(folder: Path, model: str) -> bytes:
    """The drift of a model as PNG; runs in the drawing process."""
    from tempfile import TemporaryDirectory

    from deploy.views.drift_charts import complete_chart
    from deploy.views.output import save_chart

    reader = ProjectionReader(folder)
    try:
        chart = complete_chart(reader.records(DriftVerdict, model, WINDOWS), None)
    finally:
        reader.close()
    with TemporaryDirectory() as scratch:
        file = Path(scratch) / "drift.png"
        save_chart(chart, file)
        return file.read_bytes()


def question_of(request: ApprovalRequest, console: str) -> Question:
    """A request as a message asks it."""
    deadline = datetime.fromtimestamp(request.deadline, UTC)
    return Question(
        request_id=request.record_id,
        model=request.model,
        version=request.version,
        text=request.reason,
        on_yes=request.on_yes,
        on_no=request.on_no,
        deadline=f"{deadline:%Y-%m-%d %H:%M} UTC",
        link=f"{console}/approvals/{quote(request.record_id, safe='')}",
    )
