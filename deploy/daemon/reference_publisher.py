"""The reference of a version: the summaries of the windows it was trained on, merged.

The stream job has already summarised the windows, and the log keeps the summaries. A reference
therefore costs a read of the windows it was trained on, and has the bucket edges of every later
window. A second read, of the history that it looks back on, gives the season and the day variance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from msgspec.structs import replace

from deploy.daemon.window_history import windows_between
from serving.ports import PublishedReference
from streaming.baseline import DayVarianceEstimator, Season, SlotLearner
from streaming.baseline.merge import build_reference
from streaming.contracts.codec import encode
from streaming.contracts.ids import digest
from streaming.contracts.log import RecordLog
from streaming.contracts.model import ModelContract
from streaming.contracts.records import (
    Artifact,
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

    superseded: Callable[[], bool] = lambda: False
    """Asked while windows are read; True ends the build with a `SupersededError`."""

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

        The name carries the digest, so that a reference that was built again from other windows
        never replaces the one that an earlier promotion names.
        """
        trained = {
            window.record_id: window for window in self._windows(version, version.window_start)
        }
        if not trained:
            return None
        reference = build_reference(
            sorted(trained.values(), key=lambda summary: summary.window_start),
            model=version.model,
            version=version.version,
            at=version.at,
            caused_by=(version.record_id,),
        )
        data = encode(self._with_history(reference, version))
        name = f"references/{version.model}/{version.version}-{digest(data)[:12]}.json"
        return self.store.put(name, data)

    def _with_history(self, reference: ReferenceSummary, version: ModelVersion) -> ReferenceSummary:
        """The reference with its season's slots and its day variance, from one read."""
        season, days = self.seasons.get(version.model), self.days.get(version.model)
        slots = _slots(season) if season is not None else None
        variance = _day_variance(days, reference) if days is not None else None
        learners: list[tuple[float, Callable[[WindowSummary], None]]] = []
        if season is not None and slots is not None:
            learners.append((season.first(version), slots.add))
        if days is not None and variance is not None:
            learners.append((days.first(version), variance.add))
        if not learners:
            return reference
        for summary in self._windows(version, min(first for first, _ in learners)):
            for first, add in learners:
                if summary.window_start >= first:
                    add(summary)
        if slots is not None:
            reference = replace(reference, slots=slots.learnt())
        if variance is not None:
            reference = replace(reference, day_variance=variance.estimate())
        return reference

    def _windows(self, version: ModelVersion, since: float) -> Iterator[WindowSummary]:
        return windows_between(
            self.log, version.model, since, version.window_end, superseded=self.superseded
        )


def _slots(history: ReferenceHistory) -> SlotLearner:
    return SlotLearner(contract=history.contract, season=history.season, zone=history.zone)


def _day_variance(history: ReferenceHistory, reference: ReferenceSummary) -> DayVarianceEstimator:
    return DayVarianceEstimator(
        reference=reference,
        contract=history.contract,
        season=history.season,
        zone=history.zone,
    )
