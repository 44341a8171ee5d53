"""The decoding of one checkout, for `decoding`: a process of its own, with that checkout's code.

It is started by its path, and PYTHONPATH says whose code it imports; the fetches are those of the
checkout that measures. Exchanges JSON lines: the name of a fetch in, `DecodedFetch` out. The first
line out is ``ready``.
"""

from __future__ import annotations

import hashlib
import runpy
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
from msgspec.structs import replace

from streaming.contracts.model import FeatureSpec
from streaming.contracts.raw_record import KafkaRecord
from streaming.windowing.decode import Decoded, Decoder

FOLDER = Path(__file__).parent
formats = runpy.run_path(str(FOLDER / "formats.py"))
shapes = runpy.run_path(str(FOLDER / "fetch_shapes.py"))


class DecodedFetch(msgspec.Struct, frozen=True, kw_only=True):
    """One reading of a fetch."""

    seconds: float
    """CPU time."""
    events: int
    digest: str
    """Of the rows, their times and positions, and the dead records."""


def digest(decoded: Decoded) -> str:
    """A digest of what was decoded."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, decoded.batch.schema) as writer:
        # unequal offsets or lengths of buffers are no difference
        writer.write_batch(
            pa.RecordBatch.from_pylist(decoded.batch.to_pylist(), decoded.batch.schema)
        )
    parts = [sink.getvalue().to_pybytes(), decoded.times.tobytes(), decoded.index.tobytes()]
    parts += [repr((d.index, d.reason, d.field, d.detail)).encode() for d in decoded.dead]
    return hashlib.sha256(b"".join(parts)).hexdigest()


def cases() -> dict[str, tuple[Decoder, list[bytes]]]:
    """Name → a decoder and a fetch for it."""
    all_cases: dict[str, tuple[Decoder, list[bytes]]] = formats["cases"]()
    contract, events = (
        replace(formats["CONTRACT"], largest_event_bytes=2_000_000),
        formats["rows"](),
    )
    wide = replace(
        contract,
        features=tuple(
            FeatureSpec(name=f"feature_number_{index}", kind="number")
            for index in range(shapes["WIDE"])
        ),
    )
    for name, make in shapes["SHAPES"].items():
        all_cases[name] = Decoder(wide if name.startswith("wide") else contract), make(events)
    return all_cases


def main() -> None:
    """Fetches until the input ends."""
    all_cases, digests = cases(), dict[str, str]()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        name = msgspec.json.decode(line, type=str)
        decoder, fetch = all_cases[name]

        def record_at(at: int, fetch: list[Any] = fetch) -> KafkaRecord:
            return KafkaRecord(value=fetch[at])

        repeats = max(1, 200 // len(fetch))
        began = time.process_time()
        for _ in range(repeats):
            decoded = decoder.decode(fetch, now=formats["NOW"], record_at=record_at)
        seconds = (time.process_time() - began) / repeats
        if name not in digests:
            digests[name] = digest(decoded)
        reading = DecodedFetch(seconds=seconds, events=len(fetch), digest=digests[name])
        sys.stdout.write(msgspec.json.encode(reading).decode() + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
