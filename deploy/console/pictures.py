"""Pictures: drawn on the server as SVG, in a process of their own, kept by what they show.

A picture is identified by its subject, its variant (theme, width) and the id of the newest record
in it. They are its ETag, so a browser asks again for the price of a few bytes and nothing is drawn
twice.
"""

from __future__ import annotations

import asyncio
import multiprocessing
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from deploy.projection.reader import ProjectionReader
from deploy.views.theme import VARIANTS, Theme
from streaming.contracts.errors import NotFoundError, UnavailableError
from streaming.contracts.records import AnswerComparison, DriftVerdict, QualityVerdict

PictureKind = Literal["drift", "quality", "comparison"]
WINDOWS = 120
"""Windows of a picture over time."""
_KEPT = 200
"""Pictures in memory, of about 30 KB each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """What a page says about a picture beside showing it."""

    kind: PictureKind
    model: str
    newest: str
    """Id of the newest record that it shows."""
    alt: str
    """What is seen, in a sentence."""
    feature: str = ""
    """The feature that it is about; empty for those that moved most."""


class Pictures:
    """Draws pictures in a process of its own; the last ones are kept.

    The library that draws needs 150 MB, and text that it cannot take ends its process. The next
    picture then begins another one.

    Parameters
    ----------
    folder:
        Folder of the projection.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: ProcessPoolExecutor | None = None
        self._drawn: OrderedDict[tuple[str, ...], bytes] = OrderedDict()

    def close(self) -> None:
        """End the drawing process."""
        if self._process is not None:
            self._process.shutdown(wait=False, cancel_futures=True)
            self._process = None

    async def svg(
        self, kind: PictureKind, model: str, feature: str, variant: str, newest: str
    ) -> bytes:
        """The picture that shows the records up to `newest`.

        Raises
        ------
        NotFoundError
            When there is nothing to draw.
        UnavailableError
            When its process ended while it was drawn.
        """
        key = (kind, model, feature, variant, newest)
        if key not in self._drawn:
            if self._process is None:
                self._process = ProcessPoolExecutor(
                    max_workers=1, mp_context=multiprocessing.get_context("spawn")
                )
            loop, process = asyncio.get_running_loop(), self._process
            try:
                drawn = await loop.run_in_executor(
                    process, _draw, self._folder, kind, model, feature, variant
                )
            except BrokenProcessPool as error:
                self.close()
                raise UnavailableError("The picture could not be drawn; its process ended.") from (
                    error
                )
            self._drawn[key] = drawn
            while len(self._drawn) > _KEPT:
                self._drawn.popitem(last=False)
        self._drawn.move_to_end(key)
        return self._drawn[key]


def _draw(folder: Path, kind: PictureKind, model: str, feature: str, variant: str) -> bytes:
    """The picture as it is now; runs in the drawing process."""
    from deploy.views.output import svg_text

    reader = ProjectionReader(folder)
    try:
        chart = _CHARTS[kind](reader, model, feature, transparent(VARIANTS[variant]))
    finally:
        reader.close()
    return svg_text(chart).encode()


def transparent(theme: Theme) -> Theme:
    """The theme on the page's own background."""
    return replace(theme, palette=replace(theme.palette, background="transparent"))


_KINDS: dict[PictureKind, type[DriftVerdict | QualityVerdict | AnswerComparison]] = {
    "drift": DriftVerdict,
    "quality": QualityVerdict,
    "comparison": AnswerComparison,
}


def newest_id(reader: ProjectionReader, kind: PictureKind, model: str) -> str:
    """Id of the newest record that a picture shows.

    Raises
    ------
    NotFoundError
        When there is none.
    """
    rows = reader.newest(_KINDS[kind], model)
    if not rows:
        raise NotFoundError(f"{model} has no {_KINDS[kind].__name__} to draw yet.")
    return rows[0].record_id


def picture(
    reader: ProjectionReader, kind: PictureKind, model: str, feature: str = ""
) -> Picture | None:
    """A picture for a page with its alternative text; None when there is nothing to draw."""
    try:
        newest = newest_id(reader, kind, model)
        alt = _ALTS[kind](reader, model, feature)
    except NotFoundError:
        return None
    return Picture(kind=kind, model=model, newest=newest, alt=alt, feature=feature)


def _judged(reader: ProjectionReader, model: str, feature: str) -> list[DriftVerdict]:
    verdicts = reader.records(DriftVerdict, model, WINDOWS)
    if feature:
        verdicts = [v for v in verdicts if any(f.feature == feature for f in v.features)]
    if not verdicts:
        raise NotFoundError(f"{model} has no verdict on {feature} to draw.")
    return verdicts


def _drift_chart(reader: ProjectionReader, model: str, feature: str, theme: Theme) -> Any:
    from deploy.views.drift_charts import complete_chart

    return complete_chart(_judged(reader, model, feature), feature or None, theme=theme)


def _quality_chart(reader: ProjectionReader, model: str, feature: str, theme: Theme) -> Any:
    from deploy.views.quality_charts import complete_chart

    return complete_chart(reader.records(QualityVerdict, model, WINDOWS), theme=theme)


def _answers_chart(reader: ProjectionReader, model: str, feature: str, theme: Theme) -> Any:
    from deploy.views.paired_charts import complete_chart

    return complete_chart(_comparison(reader, model), theme=theme)


def _comparison(reader: ProjectionReader, model: str) -> AnswerComparison:
    comparison = reader.newest_record(AnswerComparison, model)
    if comparison is None or not comparison.comparison.sample:
        raise NotFoundError(f"{model} has no compared answers to draw.")
    return comparison


def _drift_alt(reader: ProjectionReader, model: str, feature: str) -> str:
    from deploy.views.drift_charts import headline, note, only_feature

    verdicts = _judged(reader, model, feature)[-24:]
    if feature:
        verdicts = only_feature(verdicts, feature)
    return f"{headline(verdicts)}. {note(verdicts)}"


def _quality_alt(reader: ProjectionReader, model: str, feature: str) -> str:
    from deploy.views.quality_charts import headline, note

    verdicts = [entry for entry in reader.records(QualityVerdict, model, 24) if entry.live]
    return f"{headline(verdicts)}. {note(verdicts)}"


def _answers_alt(reader: ProjectionReader, model: str, feature: str) -> str:
    from deploy.views.paired_charts import headline, note

    comparison = _comparison(reader, model)
    return f"{headline(comparison)}. {note(comparison)}"


_CHARTS: dict[PictureKind, Callable[[ProjectionReader, str, str, Theme], Any]] = {
    "drift": _drift_chart,
    "quality": _quality_chart,
    "comparison": _answers_chart,
}
_ALTS: dict[PictureKind, Callable[[ProjectionReader, str, str], str]] = {
    "drift": _drift_alt,
    "quality": _quality_alt,
    "comparison": _answers_alt,
}
