"""``python -m tests.bench``: every figure of the README's table, measured on this machine.

Each ratio compares two things that are measured alternately in one run, so that a busy machine
slows both. CPU seconds are reported next to wall time. Writes ``bench/report.json`` below
DRIFTLINE_HOME.
"""

from __future__ import annotations

import argparse
import functools
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from rich.console import Console

from deploy.config.paths import home
from streaming.engines.flink.worker_pool import ONE_THREAD
from tests.bench import table
from tests.bench.figures import BenchReport, machine
from tests.bench.growth import MIN_MINUTES

PARTS = (
    "stream",
    "kafkaio",
    "closing",
    "models",
    "evidently",
    "features",
    "state",
    "retrain",
    "serving",
    "projection",
)
MeasurePart = Callable[[BenchReport, Path, bool], BenchReport]
ON_REQUEST = ("soak",)
"""Parts that take long and are measured only when they are named."""


def main() -> int:
    """Measure, write, show."""
    parser = argparse.ArgumentParser(prog="tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument(
        "--only",
        choices=(*PARTS, *ON_REQUEST),
        action="append",
        help="measure these parts; soak, which takes long, is measured only when it is named",
    )
    parser.add_argument(
        "--minutes", type=float, default=30.0, help="duration of the soak, 3 or more (default: 30)"
    )
    parser.add_argument(
        "--csv", type=Path, help="taxi trips of the part retrain (default: made-up trips)"
    )
    parser.add_argument(
        "--rows",
        type=int,
        default=15_000,
        help="rows of the part retrain, drawn with replacement from fewer (default: 15000)",
    )
    options = parser.parse_args()
    if options.minutes < MIN_MINUTES:
        parser.error(f"--minutes must be at least {MIN_MINUTES:g}; a slope needs that many.")
    # The comparisons get no more threads for matrices than the job's workers.
    os.environ.update(ONE_THREAD)
    folder = home() / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    progress = Console(stderr=True, highlight=False)
    soak = functools.partial(measure_soak, minutes=options.minutes)
    retrain = functools.partial(measure_retrain, source=options.csv, rows=options.rows)
    measures: dict[str, MeasurePart] = {**MEASURES, "soak": soak, "retrain": retrain}
    report = BenchReport(at=time.time(), quick=options.quick, machine=machine())
    for part in options.only or PARTS:
        progress.print(f"measuring: {part}")
        report = measures[part](report, folder, options.quick)
        (folder / "report.json").write_bytes(msgspec.json.format(msgspec.json.encode(report)))
    table.show(report, progress)
    text = table.markdown(report)
    (folder / "table.md").write_text(text)
    sys.stdout.write(text)
    return 1 if report.soak and report.soak.problems else 0


def measure_stream(report: BenchReport, folder: Path, quick: bool) -> BenchReport:
    """The job against the same work without Beam and Flink, then verdict delay."""
    from tests.bench.stream import StreamBench

    job_folder = _emptied(folder / "stream")
    bench = StreamBench(job_folder, rounds=2 if quick else 5, events=100_000 if quick else 600_000)
    ratios, delay = bench.run(live_seconds=40 if quick else 150)
    return msgspec.structs.replace(
        report, ratios=(*report.ratios, *ratios), spreads=(*report.spreads, delay)
    )


def measure_kafkaio(report: BenchReport, folder: Path, quick: bool) -> BenchReport:
    """The job against the same pipeline reading with KafkaIO."""
    from tests.bench.kafkaio import KafkaIOBench

    job_folder = _emptied(folder / "kafkaio")
    bench = KafkaIOBench(job_folder, rounds=2 if quick else 5, events=100_000 if quick else 300_000)
    return msgspec.structs.replace(report, ratios=(*report.ratios, *bench.run()))


def measure_closing(report: BenchReport, folder: Path, quick: bool) -> BenchReport:
    """Full windows of live traffic, from watermark to verdict."""
    from tests.bench.closing import ClosingBench

    job_folder = _emptied(folder / "closing")
    delay = ClosingBench(job_folder).run(windows=6 if quick else 40)
    return msgspec.structs.replace(report, spreads=(*report.spreads, delay))


def measure_models(report: BenchReport, folder: Path, quick: bool) -> BenchReport:
    """Many models in one job."""
    from tests.bench.models import ModelsBench

    job_folder = _emptied(folder / "models-job")
    models, windows = (20, 3) if quick else (200, 4)
    bench = ModelsBench(job_folder, models=models, rate=10.0, windows=windows)
    return msgspec.structs.replace(report, models=bench.run())


def measure_evidently(report: BenchReport, folder: Path, quick: bool) -> BenchReport:
    """Windows of trips summarised and judged, against Evidently's drift report."""
    from tests.bench.judging import against_evidently
    from tests.bench.stream import CONTRACT

    ratios = against_evidently(CONTRACT, folder / "judging", 2 if quick else 5)
    return msgspec.structs.replace(report, ratios=(*report.ratios, *ratios))


def measure_features(report: BenchReport, folder: Path, quick: bool) -> BenchReport:
    """The same work for different numbers of features."""
    from tests.bench.judging import by_features

    line = by_features(folder / "judging", 2 if quick else 5)
    return msgspec.structs.replace(report, lines=(*report.lines, line))


def measure_state(report: BenchReport, folder: Path, quick: bool) -> BenchReport:
    """Bytes that are kept for one model."""
    from tests.bench.judging import state

    return msgspec.structs.replace(report, state=state(folder / "judging"))


def measure_retrain(
    report: BenchReport,
    folder: Path,
    quick: bool,
    *,
    source: Path | None = None,
    rows: int = 15_000,
) -> BenchReport:
    """The retrain worker against stock TFX; leaves its model for the serving part."""
    from tests.bench.retrain_comparison import compare

    measured = compare(
        _emptied(folder / "retrain"),
        rows=rows,
        rounds=1 if quick else 5,
        source=source,
        model=_model(folder),
    )
    return msgspec.structs.replace(report, retrain=measured)


def measure_serving(report: BenchReport, folder: Path, quick: bool) -> BenchReport:
    """Predictions through Envoy and direct; needs the model of a retrain."""
    from tests.bench.serving_load import ServingBench

    if not _model(folder).exists():
        report = measure_retrain(report, folder, quick)
    bench = ServingBench(
        folder, _model(folder).parent, rounds=2 if quick else 5, seconds=1.5 if quick else 4.0
    )
    ratios, spreads = bench.run()
    return msgspec.structs.replace(
        report, ratios=(*report.ratios, *ratios), spreads=(*report.spreads, *spreads)
    )


def measure_soak(report: BenchReport, folder: Path, quick: bool, *, minutes: float) -> BenchReport:
    """One job under traffic for a long time: counts and growth. `quick` changes nothing."""
    from tests.bench.soak import SoakBench

    bench = SoakBench(_emptied(folder / "soak"))
    return msgspec.structs.replace(report, soak=bench.run(minutes))


def _emptied(folder: Path) -> Path:
    """The folder, without the files of an earlier run."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _model(folder: Path) -> Path:
    return folder / "models" / "big_tipper" / "1"


def measure_projection(report: BenchReport, folder: Path, quick: bool) -> BenchReport:
    """Queries of the projection with many models and verdicts."""
    from tests.bench.projection import ProjectionBench

    bench = ProjectionBench(_emptied(folder / "projection"), verdicts=10_000 if quick else 100_000)
    return msgspec.structs.replace(report, spreads=(*report.spreads, *bench.run()))


MEASURES = {
    "stream": measure_stream,
    "kafkaio": measure_kafkaio,
    "closing": measure_closing,
    "models": measure_models,
    "evidently": measure_evidently,
    "features": measure_features,
    "state": measure_state,
    "retrain": measure_retrain,
    "serving": measure_serving,
    "projection": measure_projection,
}


if __name__ == "__main__":
    sys.exit(main())
