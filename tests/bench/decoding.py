"""``python -m tests.bench.decoding CHECKOUT``: this checkout's decoding against another's.

Two processes, one for each checkout, read the same fetches in turns, so that a busy machine slows
both. What is measured is CPU time on one thread; the best and the median of all rounds count. A
ratio above 1 means that this checkout is faster. What they decoded is compared too: a difference
is said, and sets the exit status.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from pathlib import Path

from deploy.config.paths import PROJECT, home
from streaming.engines.flink.worker_pool import ONE_THREAD
from tests.bench.child import Child
from tests.bench.decoding_work import DecodedFetch
from tests.bench.fetch_shapes import SHAPES

FORMATS = ("json", "avro", "protobuf", "mapped", "paths")


class DecodingWorker(Child):
    """The worker process of a checkout."""

    def __init__(self, checkout: Path, folder: Path, name: str) -> None:
        script = str(Path(__file__).with_name("decoding_work.py"))
        super(Child, self).__init__(
            [sys.executable, "-P", script],
            folder / f"decoding-{name}.log",
            env={**os.environ, **ONE_THREAD, "PYTHONPATH": str(checkout)},
        )

    def read(self, name: str) -> DecodedFetch:
        """One reading of a fetch."""
        self.send_line(name)
        return self.receive_line(DecodedFetch)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="tests.bench.decoding", description=__doc__)
    parser.add_argument("checkout", type=Path, help="folder of the other checkout")
    parser.add_argument("--rounds", type=int, default=15, help="readings of each fetch")
    parser.add_argument("--only", nargs="+", choices=(*FORMATS, *SHAPES), help="these fetches")
    options = parser.parse_args()
    folder, different = home() / "bench", False
    with (
        DecodingWorker(options.checkout.resolve(), folder, "other") as other,
        DecodingWorker(PROJECT, folder, "this") as this,
    ):
        for worker in (other, this):
            worker.wait_ready()
        sys.stdout.write("microseconds an event   best: other  this ratio    median: ratio\n")
        for name in options.only or (*FORMATS, *SHAPES):
            readings: dict[str, list[DecodedFetch]] = {"other": [], "this": []}
            for number in range(options.rounds + 1):
                pair = (("other", other), ("this", this))
                for side, worker in pair if number % 2 else pair[::-1]:
                    readings[side].append(worker.read(name))
            line, same = report(name, readings["other"][1:], readings["this"][1:])
            different |= not same
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
    sys.exit(int(different))


def report(name: str, other: list[DecodedFetch], this: list[DecodedFetch]) -> tuple[str, bool]:
    """One line about a fetch, and whether both sides decoded the same.

    >>> slow = DecodedFetch(seconds=0.004, events=1000, digest="a")
    >>> report("json", [slow], [DecodedFetch(seconds=0.002, events=1000, digest="a")])
    ('json                           4.00   2.00  2.00            2.00  same output', True)
    """
    sides = [[1e6 * one.seconds / one.events for one in side] for side in (other, this)]
    best, middle = [min(side) for side in sides], [statistics.median(side) for side in sides]
    same = {one.digest for one in other} == {one.digest for one in this}
    line = f"{name:<26}{best[0]:>9.2f}{best[1]:>7.2f}{best[0] / best[1]:>6.2f}"
    line += f"{middle[0] / middle[1]:>16.2f}  {'same' if same else 'OTHER'} output"
    return line, same


if __name__ == "__main__":
    main()
