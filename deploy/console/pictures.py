"""Pictures: drawn on the server as SVG, in a process of their own, kept by what they show.

A picture is identified by its subject, its variant (theme, width) and the id of the newest record
in it. They are its ETag, so a browser asks again for the price of a few bytes and nothing is drawn
twice.
"""

from __future__ import annotations

import asyncio
import hashlib
import multiprocessing
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from multiprocessing.connection import wait
from pathlib import Path
from urllib.parse import quote, urlencode

from deploy.console.picture_kinds import KINDS, PictureKind
from deploy.projection.reader import ProjectionReader
from deploy.views.run_curves import CurveOfRun
from deploy.views.theme import VARIANTS, Theme
from streaming.contracts.errors import NotFoundError, UnavailableError

_KEPT = 200
"""Pictures in memory, of about 30 KB each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """What a page says about a picture beside showing it."""

    path: str
    """Its address without the variant; it ends so that the variant can follow."""
    alt: str
    """What is seen, in a sentence."""


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
        self, kind: PictureKind, model: str, subject: str, variant: str, newest: str
    ) -> bytes:
        """The picture that shows the records up to `newest`.

        Raises
        ------
        NotFoundError
            When there is nothing to draw.
        UnavailableError
            When its process ended while it was drawn.
        """
        key = (kind, model, subject, variant, newest)
        return await self._drawn_once(key, _draw, self._folder, kind, model, subject, variant)

    async def curves(self, curves: tuple[CurveOfRun, ...], variant: str) -> bytes:
        """The curves of runs, with the same errors."""
        key = ("curves", digest_of(curves), variant)
        return await self._drawn_once(key, _draw_curves, curves, variant)

    async def _drawn_once(
        self, key: tuple[str, ...], draw: Callable[..., bytes], *arguments: object
    ) -> bytes:
        if key not in self._drawn:
            if self._process is None:
                self._process = ProcessPoolExecutor(
                    max_workers=1,
                    mp_context=multiprocessing.get_context("spawn"),
                    initializer=end_with_parent,
                )
            loop, process = asyncio.get_running_loop(), self._process
            try:
                drawn = await loop.run_in_executor(process, draw, *arguments)
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


def end_with_parent() -> None:
    """End this process when the one that began it has ended, in whatever way."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    sentinel = parent.sentinel

    def watch() -> None:
        wait([sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _draw(folder: Path, kind: PictureKind, model: str, subject: str, variant: str) -> bytes:
    """The picture as it is now; runs in the drawing process."""
    from deploy.views.output import svg_text

    reader = ProjectionReader(folder)
    try:
        chart = KINDS[kind].chart(reader, model, subject, transparent(VARIANTS[variant]))
    finally:
        reader.close()
    return svg_text(chart).encode()


def _draw_curves(curves: tuple[CurveOfRun, ...], variant: str) -> bytes:
    """The curves of runs; runs in the drawing process."""
    from deploy.views.output import svg_text
    from deploy.views.run_curves import curves_chart

    return svg_text(curves_chart(curves, theme=transparent(VARIANTS[variant]))).encode()


def digest_of(curves: tuple[CurveOfRun, ...]) -> str:
    """What curves are known by."""
    return hashlib.sha256(repr(curves).encode()).hexdigest()[:24]


def transparent(theme: Theme) -> Theme:
    """The theme on the page's own background."""
    return replace(theme, palette=replace(theme.palette, background="transparent"))


def newest_id(reader: ProjectionReader, kind: PictureKind, model: str, subject: str = "") -> str:
    """Id of the newest record that a picture shows.

    Raises
    ------
    NotFoundError
        When there is none.
    """
    return KINDS[kind].newest(reader, model, subject)


def picture(
    reader: ProjectionReader, kind: PictureKind, model: str, subject: str = ""
) -> Picture | None:
    """A picture for a page with its alternative text; None when there is nothing to draw.

    Parameters
    ----------
    subject:
        What it is about besides the model: a feature, a span of time or an experiment.
    """
    try:
        newest = newest_id(reader, kind, model, subject)
        alt = KINDS[kind].alt(reader, model, subject)
    except NotFoundError:
        return None
    query = urlencode({"subject": subject, "v": newest})
    return Picture(path=f"/pictures/{quote(model, safe='')}/{kind}.svg?{query}&variant=", alt=alt)
