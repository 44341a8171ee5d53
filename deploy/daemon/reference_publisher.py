"""The yardstick of a version: the windows it was trained on, merged.

The stream job has already summarised them, and the log keeps the summaries; so a reference costs
one read of `window-statistics` and shares its bucket edges with every later window exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from msgspec.structs import replace

from deploy.records import reader
from streaming.baseline import Days, Season, learn_slots
from streaming.baseline.merge import build_reference
from streaming.contracts.codec import encode
from streaming.contracts.log import RecordLog
from streaming.contracts.model import ModelContract
from streaming.contracts.records import (
    Artifact,
    ModelVersion,
    ReferenceSummary,
    WindowSummary,
    Wobble,
)
from streaming.engines.artifact_store import ArtifactStore

WEEK = 604_800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SeasonOf:
    """The season of one model."""

    contract: ModelContract
    season: Season
    zone: str = "UTC"
    weeks: float = 8.0

    def first(self, version: ModelVersion) -> float:
        """Where the history of a version begins, seconds since 1970.

        After a shift only the windows it was trained on are of the new world; else history goes
        back so many weeks.
        """
        if version.cause == "drift":
            return version.window_start
        return min(version.window_start, version.window_end - self.weeks * WEEK)


@dataclass(slots=True, kw_only=True)
class WindowReferences:
    """Implements `serving.ports.References` over the log and the artifact store."""

    log: RecordLog
    store: ArtifactStore
    seasons: Mapping[str, SeasonOf] = field(default_factory=dict)
    """By model, where the judge knows a season."""
    days: Mapping[str, SeasonOf] = field(default_factory=dict)
    """By model, where the wobble is learnt: how far back, and whether hours differ."""

    def publish(self, version: ModelVersion) -> Artifact | None:
        """Merge the version's windows and store the summary; None when there are none.

        The name carries the version and the bytes depend on the windows alone, so publishing
        twice gives the same artifact.
        """
        season = self.seasons.get(version.model)
        first = season.first(version) if season else version.window_start
        found = {
            summary.record_id: summary
            for summary in reader.stream(self.log, WindowSummary, version.model)
            if summary.window_start >= first
            and summary.window_end <= version.window_end
            and summary.accepted > 0
        }
        trained = [one for one in found.values() if one.window_start >= version.window_start]
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
            slots = learn_slots(found.values(), season.contract, season.season, season.zone)
            reference = replace(reference, slots=slots)
        days = self.days.get(version.model)
        if days is not None:
            reference = replace(reference, wobble=self._wobble(days, reference, version))
        name = f"references/{version.model}/{version.version}.json"
        return self.store.put(name, encode(reference))

    def _wobble(
        self, of: SeasonOf, reference: ReferenceSummary, version: ModelVersion
    ) -> Wobble | None:
        """Learnt in a second reading, so that weeks of windows are never held at once."""
        days = Days(reference=reference, contract=of.contract, season=of.season, zone=of.zone)
        first = of.first(version)
        for summary in reader.stream(self.log, WindowSummary, version.model):
            if first <= summary.window_start and summary.window_end <= version.window_end:
                days.add(summary)
        return days.learn()
