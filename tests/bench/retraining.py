"""A warm retrain worker, round by round in one long-lived process, as `driftline` runs it.

Each round is a request to `retrain.worker.Worker`: replay, training, evaluation against the
champion, serving check and publication. The version of a round is the champion of the next.

Exchanges JSON lines: a `RoundFiles` in, a `FinishedRound` out.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from deploy.services.model_server_launcher import DriftlineModelServer
from deploy.services.worker import column_decoder
from retrain.engines.kafka.examples import LogExampleBuilder
from retrain.engines.memory import InMemoryRequestQueue, InMemoryRequests
from retrain.engines.model_store import FolderStore
from retrain.engines.tfx.infra_validation import ServingLimits
from retrain.engines.tfx.trainer import TfxTrainer
from retrain.worker import Worker
from streaming.contracts.clock import SystemClock
from streaming.contracts.records import RetrainProgress
from streaming.contracts.topics import RECORD_TOPICS
from tests.bench.retrain_round import FinishedRound, RoundMeasurement
from tests.bench.taxi_rounds import CONTRACT, FileLog, RoundFiles, request_of


class WarmWorker:
    """Serves one request after another."""

    def __init__(self, folder: Path) -> None:
        self._log = FileLog()
        self._log.ensure(RECORD_TOPICS)
        self._requests = InMemoryRequests()
        self.store = FolderStore(folder / "models")
        self._seconds: dict[str, float] = {}
        # A busy machine must not leave the next round without a champion.
        limits = ServingLimits(load_seconds=60.0, warm_predict_seconds=5.0)
        self._trainer = TfxTrainer(folder, server=DriftlineModelServer(), serving=limits)
        self._trainer.warm()
        self._worker = Worker(
            requests=InMemoryRequestQueue(self._requests),
            log=self._log,
            trainer=self._trainer,
            store=self.store,
            examples=LogExampleBuilder(log=self._log, decoder=column_decoder),
            contracts={CONTRACT.model: CONTRACT},
            clock=SystemClock(),
            name="bench",
            scratch=folder / "scratch",
            on_progress=self._report,
        )

    def run(self, files: RoundFiles) -> FinishedRound:
        """One retrain."""
        topics = {CONTRACT.events_topic: files.events, CONTRACT.labels_topic: files.labels}
        self._log.files = {topic: Path(file) for topic, file in topics.items()}
        champion = max(self.store.versions(CONTRACT.model), default=0)
        self._seconds, measurement = {}, RoundMeasurement()
        self._requests.put(request_of(files, champion=champion))
        with measurement.measured():
            outcome = self._worker.run_once(0.0)
        if outcome != "published":
            raise RuntimeError(f"The retrain of round {files.number} ended as {outcome}.")
        record = self.store.record(CONTRACT.model, champion + 1)
        model = self.store.path(CONTRACT.model, champion + 1)
        return measurement.round(model=model, rows=record.training_rows, components=self._seconds)

    def close(self) -> None:
        """End the kept model server."""
        self._trainer.close()

    def _report(self, progress: RetrainProgress) -> None:
        if progress.state == "done":
            self._seconds[progress.component] = progress.seconds


def main() -> None:
    """Rounds until the input ends; the first line is the folder."""
    folder = Path(msgspec.json.decode(sys.stdin.readline(), type=str))
    out, sys.stdout = sys.stdout, sys.stderr  # TFX prints
    side = WarmWorker(folder)
    for line in sys.stdin:
        files = msgspec.json.decode(line, type=RoundFiles)
        out.write(msgspec.json.encode(side.run(files)).decode() + "\n")
        out.flush()
    side.close()


if __name__ == "__main__":
    main()
