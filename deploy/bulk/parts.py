"""The parts of a bulk prediction on disk: each written whole, joined at the end.

Beside the target ``FILE`` lies ``FILE.parts`` while a run is under way: a file for each chunk,
there or not there, and ``run.json`` with what the run is. The same command goes on behind the parts
that exist. When all are there, they become the target in one rename, and the folder goes.
"""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, TypeVar

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from deploy.config.atomic_file import write_atomic
from streaming.contracts.errors import ConfigurationError, Conflict
from streaming.contracts.records import OffsetRange

T = TypeVar("T")

SUFFIXES = (".csv", ".parquet")
_RUN = "run.json"


class RunIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """What a run predicts: a run goes on only as the same one."""

    model: str
    version: int
    digest: str
    """Digest of the version."""
    source: str
    """Digest of the rows."""
    rows_per_part: int
    question: str = ""
    """What was asked of a topic; empty for a file."""
    spans: tuple[OffsetRange, ...] = ()
    """The offsets that this meant when the run began."""


class PartCounts(msgspec.Struct, frozen=True, kw_only=True):
    """What a run has done."""

    rows: int = 0
    unusable: int = 0
    first_problem: str = ""


class Parts:
    """The parts of one target.

    Raises
    ------
    ConfigurationError
        When the target is neither CSV nor Parquet, or its folder does not exist.
    Conflict
        When the parts of another run lie there, or the target exists.
    """

    def __init__(self, target: Path, identity: RunIdentity, *, fresh: bool = False) -> None:
        if target.suffix not in SUFFIXES:
            raise ConfigurationError(f"--to {target}: write a file {' or '.join(SUFFIXES)}.")
        if not target.parent.is_dir():
            raise ConfigurationError(f"--to {target}: the folder {target.parent} does not exist.")
        self.target = target
        self.folder = _folder(target)
        state = self.folder / _RUN
        if fresh:
            shutil.rmtree(self.folder, ignore_errors=True)
        elif target.exists():
            raise Conflict(f"{target} exists already; --fresh replaces it.")
        elif state.is_file() and _read(state, RunIdentity) != identity:
            raise Conflict(
                f"{self.folder} has parts of another run: another version, source or part size."
                " --fresh drops them; or name another file with --to."
            )
        self.folder.mkdir(exist_ok=True)
        write_atomic(state, msgspec.json.encode(identity))
        self.counts = self._counted()

    @property
    def count(self) -> int:
        """Number of parts that are complete, without a gap."""
        number = 0
        while self._part(number).is_file() and self._count_file(number).is_file():
            number += 1
        return number

    def write(self, number: int, columns: Mapping[str, list[Any]], counts: PartCounts) -> None:
        """Add a part."""
        writes = _csv_bytes if self.target.suffix == ".csv" else _parquet_bytes
        write_atomic(self._part(number), writes(columns, header=number == 0))
        write_atomic(self._count_file(number), msgspec.json.encode(counts))
        self.counts = _sum(self.counts, counts)

    def finish(self) -> None:
        """Join the parts into the target and remove them."""
        temporary = self.folder / "whole"
        parts = [self._part(number) for number in range(self.count)]
        with temporary.open("wb") as stream:
            (_join_csv if self.target.suffix == ".csv" else _join_parquet)(parts, stream)
        temporary.replace(self.target)
        shutil.rmtree(self.folder)

    def _counted(self) -> PartCounts:
        counts = PartCounts()
        for number in range(self.count):
            counts = _sum(counts, _read(self._count_file(number), PartCounts) or PartCounts())
        return counts

    def _part(self, number: int) -> Path:
        return self.folder / f"part-{number:06d}{self.target.suffix}"

    def _count_file(self, number: int) -> Path:
        return self.folder / f"part-{number:06d}.json"


def interrupted(target: Path) -> RunIdentity | None:
    """The run whose parts lie beside a target; None when there is none."""
    return _read(_folder(target) / _RUN, RunIdentity)


def _folder(target: Path) -> Path:
    return target.with_name(f"{target.name}.parts")


def _sum(one: PartCounts, other: PartCounts) -> PartCounts:
    return PartCounts(
        rows=one.rows + other.rows,
        unusable=one.unusable + other.unusable,
        first_problem=one.first_problem or other.first_problem,
    )


def _read(file: Path, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError):
        return None


def _csv_bytes(columns: Mapping[str, list[Any]], *, header: bool) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    if header:
        writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue().encode()


def _parquet_bytes(columns: Mapping[str, list[Any]], *, header: bool) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(dict(columns)), sink)
    return bytes(sink.getvalue())


def _join_csv(parts: list[Path], stream: IO[bytes]) -> None:
    for part in parts:
        with part.open("rb") as content:
            shutil.copyfileobj(content, stream)


def _join_parquet(parts: list[Path], stream: IO[bytes]) -> None:
    """One row group for each part. A column without values in one part has the others' type."""
    schema = pa.unify_schemas(
        [pq.read_schema(part) for part in parts], promote_options="permissive"
    )
    with pq.ParquetWriter(stream, schema) as writer:
        for part in parts:
            writer.write_table(pq.read_table(part).cast(schema))
