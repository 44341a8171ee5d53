"""``python -m tests.bench.revisions CHECKOUT``: this checkout's windows against another's.

Two processes, one for each checkout, do the work of `windows` in turns, window by window, so that a
busy machine slows both. What is measured is CPU time. A ratio above 1 means that this checkout is
faster; it is given for the minima and for the medians of all rounds.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from deploy.config.paths import PROJECT, home
from streaming.engines.flink.worker_pool import ONE_THREAD
from tests.bench.changed_rows import CHANGES
from tests.bench.child import Child
from tests.bench.revision_work import OUTPUTS, Steps, Window

ROWS = (1_000, 10_000, 100_000)
OUTPUT_SIZES = ((30, 500), (130, 130), (1_000, 1_000), (1_500, 40_000), (6_000, 2_500))
"""Rows of the windows and of the reference whose outputs are compared."""
STEPS = ("accumulate", "summarise", "judge")


class CheckoutWorker(Child):
    """The worker process of a checkout."""

    def __init__(self, checkout: Path, folder: Path, name: str) -> None:
        script = str(Path(__file__).with_name("revision_work.py"))
        super(Child, self).__init__(
            [sys.executable, "-P", script, str(folder)],
            folder / f"{name}.log",
            env={**os.environ, **ONE_THREAD, "PYTHONPATH": str(checkout)},
        )

    def run(self, window: Window) -> Steps:
        """The steps of one window."""
        self.send_line(window)
        return self.receive_line(Steps)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="tests.bench.revisions", description=__doc__)
    parser.add_argument("checkout", type=Path, help="folder of the other checkout")
    parser.add_argument("--kind", choices=("trips", "wide"), default="trips")
    parser.add_argument("--features", type=int, default=20, help="features of wide rows")
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS, help="rows of a window")
    parser.add_argument("--rounds", type=int, default=100, help="windows of each size")
    parser.add_argument("--distinct", type=int, default=1, help="windows with rows of their own")
    parser.add_argument(
        "--outputs", action="store_true", help="compare the output on changed rows, measure nothing"
    )
    options = parser.parse_args()
    folder = home() / "bench" / "revisions"
    with (
        CheckoutWorker(options.checkout.resolve(), folder, "other") as other,
        CheckoutWorker(PROJECT, folder, "this") as this,
    ):
        for worker in (other, this):
            worker.wait_ready()
        if options.outputs:
            sys.exit(compare_outputs(other, this))
        for rows in options.rows:
            rounds = []
            for number in range(options.rounds + max(2, options.distinct)):
                window = Window(
                    kind=options.kind,
                    rows=rows,
                    features=options.features,
                    number=number,
                    distinct=options.distinct,
                )
                # each goes first as often as the other
                if number % 2:
                    pair = (other.run(window), this.run(window))
                else:
                    pair = (this.run(window), other.run(window))[::-1]
                rounds.append(pair)
            sys.stdout.write(report(rows, rounds[max(2, options.distinct) :]) + "\n")
            sys.stdout.flush()


def compare_outputs(other: CheckoutWorker, this: CheckoutWorker) -> int:
    """Compare accumulators, summaries, verdicts and histories, byte for byte, after every change.

    Each change lasts for three windows, so that alarms of every rule are raised. Returns the exit
    status: 1 where an output differs.
    """
    windows = different = 0
    for kind, features in (("trips", 0), ("wide", 5), ("wide", 20)):
        for rows, reference_rows in OUTPUT_SIZES:
            for number, change in enumerate(change for change in CHANGES for _ in range(3)):
                window = Window(
                    kind="trips" if kind == "trips" else "wide",
                    rows=rows,
                    features=features,
                    number=number,
                    distinct=4,
                    change=change,
                    reference_rows=reference_rows,
                )
                windows += 1
                outputs = zip(
                    OUTPUTS, other.run(window).digests, this.run(window).digests, strict=True
                )
                names = [name for name, ours, theirs in outputs if ours != theirs]
                if names:
                    different += 1
                    sys.stdout.write(f"{', '.join(names)} of {window}\n")
    sys.stdout.write(f"{windows} windows, {different} with another output\n")
    return int(different > 0)


def report(rows: int, rounds: Sequence[tuple[Steps, Steps]]) -> str:
    """One line for each step: milliseconds of both checkouts and their ratio, minimum and median.

    >>> slow = Steps(accumulate=0.002, summarise=0.002, judge=0.004, digests=("a",))
    >>> fast = Steps(accumulate=0.001, summarise=0.002, judge=0.002, digests=("a",))
    >>> print(report(10, [(slow, fast)]).splitlines()[-1])
            10  all          min   8.00   5.00 1.60  median   8.00   5.00 1.60  same output
    """
    lines = []
    same = all(other.digests == this.digests for other, this in rounds)
    sides = list(zip(*rounds, strict=True))
    for step in (*STEPS, "all"):
        times = [[1000 * _seconds(steps, step) for steps in side] for side in sides]
        figures = "  ".join(
            f"{name} {f(times[0]):6.2f} {f(times[1]):6.2f} {f(times[0]) / f(times[1]):.2f}"
            for name, f in (("min", min), ("median", statistics.median))
        )
        lines.append(f"{rows:>10}  {step:<12} {figures}")
    return "\n".join(lines) + ("  same output" if same else "  other output")


def _seconds(steps: Steps, step: str) -> float:
    names = STEPS if step == "all" else (step,)
    return sum(float(getattr(steps, name)) for name in names)


if __name__ == "__main__":
    main()
