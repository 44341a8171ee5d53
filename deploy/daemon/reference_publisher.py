"""The reference of a version: the summaries of the windows it was trained on, merged.

The stream job has already summarised the windows, and the log keeps the summaries. A reference
therefore costs one read of `window-statistics` and has the bucket edges of every later window.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from msgspec.structs import replace

from deploy.records import reader
from serving.ports import PublishedReference
from streaming.baseline import DayVarianceEstimator, Season, learn_slots
from streaming.baseline.merge import build_reference
from streaming.contracts.codec import encode
from streaming.contracts.log import RecordLog
from streaming.contracts.model import ModelContract
from streaming.contracts.records import (
    Artifact,
    DayVariance,
    ModelVersion,
    ReferenceSummary,
    WindowSummary,
)
from streaming.engines.artifact_store import ArtifactStore

WEEK_SECONDS = 604_800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceHistory:
    """Which past windows a reference learns its season or its day variance from."""

    contract: ModelContract
    season: Season
    zone: str = "UTC"
    """Time zone of the season's hours."""
    weeks: float = 8.0
    """Length of the history before the end of the training windows."""

    def first(self, version: ModelVersion) -> float:
        """Start of a version's history, seconds since 1970.

        After a drift only the training windows belong to the new distribution; otherwise the
        history goes back by `weeks`.
        """
        if version.cause == "drift":
            return version.window_start
        return min(version.window_start, version.window_end - self.weeks * WEEK_SECONDS)


@dataclass(slots=True, kw_only=True)
class WindowReferencePublisher:
    """Implements `serving.ports.ReferencePublisher` over the log and the artifact store."""

    log: RecordLog
    store: ArtifactStore
    seasons: Mapping[str, ReferenceHistory] = field(default_factory=dict)
    """History for the season's slots, by model; models without a season are left out."""
    days: Mapping[str, ReferenceHistory] = field(default_factory=dict)
    """History for the day variance, by model; left out where the settings give the variance."""

    _results: dict[str, PublishedReference] = field(default_factory=dict)
    """Results of `publish` by record id of the version."""

    def published(self, version: ModelVersion) -> PublishedReference | None:
        """The result of an earlier `publish` by this process; None before it."""
        return self._results.get(version.record_id)

    def publish(self, version: ModelVersion) -> Artifact | None:
        """Merge the version's windows and store the summary; None when there are none.

        Raises `TemporaryError` when the log or the store does not answer.
        """
        artifact = self._store_reference(version)
        self._results[version.record_id] = PublishedReference(
            version=version.version, artifact=artifact
        )
        return artifact

    def _store_reference(self, version: ModelVersion) -> Artifact | None:
        """The stored reference.

        The name carries the version and the bytes depend on the windows alone, so publishing
        twice gives the same artifact.
        """
        season = self.seasons.get(version.model)
        first = season.first(version) if season else version.window_start
        windows = {
            summary.record_id: summary
            for summary in reader.stream(self.log, WindowSummary, version.model)
            if summary.window_start >= first
            and summary.window_end <= version.window_end
            and summary.accepted > 0
        }
        trained = [
            window for window in windows.values() if window.window_start >= version.window_start
        ]
        if not trained:
            return None
        reference = build_reference(
            sorted(trained, key=lambda summary: summary.window_start),
            model=version.model,
            version=version.version,
            at=version.at,
            caused_by=(version.record_id,),
        )
        if season is not None:
            slots = learn_slots(windows.values(), season.contract, season.season, season.zone)
            reference = replace(reference, slots=slots)
        days = self.days.get(version.model)
        if days is not None:
            reference = replace(
                reference, day_variance=self._day_variance(days, reference, version)
            )
        name = f"references/{version.model}/{version.version}.json"
        return self.store.put(name, encode(reference))

    def _day_variance(
        self, history: ReferenceHistory, reference: ReferenceSummary, version: ModelVersion
    ) -> DayVariance | None:
        """Estimated in a second read, so that weeks of windows are never held at once."""
        estimator = DayVarianceEstimator(
            reference=reference,
            contract=history.contract,
            season=history.season,
            zone=history.zone,
        )
        first = history.first(version)
        for summary in reader.stream(self.log, WindowSummary, version.model):
            if first <= summary.window_start and summary.window_end <= version.window_end:
                estimator.add(summary)
        return estimator.estimate()
