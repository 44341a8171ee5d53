"""Every query of the projection, by name. A test explains each of them: all use an index."""

from __future__ import annotations

from typing import Literal

Query = Literal[
    "newest",
    "newest_of_all_models",
    "newest_of_each_model",
    "timeline",
    "timeline_of_all_models",
    "by_id",
    "by_prefix",
    "by_position",
    "of_subject",
    "of_version",
    "of_version_of_all_models",
    "of_window",
    "of_window_of_all_models",
    "causes",
    "effects",
    "body",
    "bodies",
    "newest_before",
    "of_model_since",
    "by_bin",
    "commands",
    "people",
    "open_requests",
    "unreadable",
    "positions",
]

_ROWS = (
    "SELECT r.record_id, r.kind, r.model, r.at, r.version, r.subject, r.outcome, r.headline, "
    "r.reason, r.window_start, r.window_end, r.measure, r.person, r.topic, r.partition, "
    "r.position FROM"
)


def _rows(clauses: str) -> str:
    """A query whose results are rows of `records`, which the clauses call ``r``."""
    return f"{_ROWS} {clauses}"


SQL: dict[Query, str] = {
    "newest": _rows(
        "records r WHERE r.model = :model AND r.kind = :kind "
        "ORDER BY r.at DESC, r.id DESC LIMIT :count"
    ),
    "newest_of_all_models": _rows(
        "records r WHERE r.kind = :kind ORDER BY r.at DESC, r.id DESC LIMIT :count"
    ),
    "newest_of_each_model": _rows(
        "json_each(:models) m JOIN records r ON r.id = "
        "(SELECT n.id FROM records n WHERE n.model = m.value AND n.kind = :kind "
        "ORDER BY n.at DESC, n.id DESC LIMIT 1)"
    ),
    "timeline": _rows(
        "records r INDEXED BY by_model WHERE r.model = :model AND r.at >= :since "
        "ORDER BY r.at DESC, r.id DESC LIMIT :count"
    ),
    "timeline_of_all_models": _rows(
        "records r WHERE r.kind = :kind AND r.at >= :since "
        "ORDER BY r.at DESC, r.id DESC LIMIT :count"
    ),
    "by_id": _rows("records r WHERE r.record_id = :record_id"),
    "by_prefix": _rows(
        "records r WHERE r.record_id >= :prefix AND r.record_id < :after "
        "ORDER BY r.record_id LIMIT :count"
    ),
    "by_position": _rows(
        "records r WHERE r.topic = :topic AND r.partition = :partition AND r.position = :position"
    ),
    "of_subject": _rows(
        "records r WHERE r.subject = :subject AND r.subject <> '' AND r.kind = :kind "
        "ORDER BY r.at DESC, r.id DESC LIMIT :count"
    ),
    "of_version": _rows(
        "records r WHERE r.model = :model AND r.version = :version AND r.version > 0 "
        "AND r.kind = :kind ORDER BY r.at DESC, r.id DESC LIMIT :count"
    ),
    "of_version_of_all_models": _rows(
        "records r WHERE r.version = :version AND r.version > 0 AND r.kind = :kind "
        "ORDER BY r.at DESC, r.id DESC LIMIT :count"
    ),
    "of_window": _rows(
        "records r WHERE r.model = :model AND r.kind = :kind AND r.window_start <= :time "
        "AND r.window_end > :time ORDER BY r.at DESC, r.id DESC LIMIT :count"
    ),
    "of_window_of_all_models": _rows(
        "records r WHERE r.kind = :kind AND r.window_start <= :time AND r.window_end > :time "
        "ORDER BY r.at DESC, r.id DESC LIMIT :count"
    ),
    "causes": _rows(
        "causes c JOIN records r ON r.record_id = c.cause WHERE c.effect = :record_id "
        "ORDER BY c.place LIMIT :count"
    ),
    "effects": _rows(
        "causes c INDEXED BY by_cause JOIN records r ON r.record_id = c.effect "
        "WHERE c.cause = :record_id LIMIT :count"
    ),
    "newest_before": _rows(
        "records r WHERE r.model = :model AND r.kind = :kind AND r.at < :before "
        "ORDER BY r.at DESC, r.id DESC LIMIT :count"
    ),
    "of_model_since": _rows(
        "records r WHERE r.model = :model AND r.kind = :kind AND r.at >= :since "
        "ORDER BY r.at DESC, r.id DESC LIMIT :count"
    ),
    "by_bin": "SELECT AVG(r.at), MAX(r.measure), AVG(r.measure), MAX(CASE "
    "WHEN r.outcome IN ('drifted', 'degraded') THEN 2 WHEN r.outcome = 'suspected' THEN 1 "
    "ELSE 0 END), COUNT(*) FROM records r WHERE r.model = :model AND r.kind = :kind "
    "AND r.at >= :since AND r.at <= :before AND r.measure IS NOT NULL "
    "GROUP BY CAST((r.at - :since) / :seconds AS INTEGER)",
    "commands": _rows(
        "records r WHERE r.kind = 'command' AND r.at >= :since AND r.at < :before "
        "AND r.model IN (SELECT value FROM json_each(:models)) "
        "AND (:person = '' OR r.person = :person) AND (:action = '' OR r.outcome = :action) "
        "AND (:answer = '' OR :answer = COALESCE((SELECT a.outcome FROM records a "
        "WHERE a.subject = r.record_id AND a.subject <> '' AND a.kind = 'command-reply' "
        "ORDER BY a.at DESC LIMIT 1), 'none')) "
        "ORDER BY r.at DESC, r.id DESC LIMIT :count OFFSET :skip"
    ),
    "people": "SELECT DISTINCT r.person FROM records r WHERE r.kind = 'command' "
    "AND r.model IN (SELECT value FROM json_each(:models)) AND r.at >= :since",
    "open_requests": _rows(
        "records r WHERE r.kind = 'approval-request' AND NOT EXISTS ("
        "SELECT 1 FROM records o WHERE o.subject = r.record_id AND o.subject <> '' "
        "AND o.kind = 'approval-outcome') ORDER BY r.at DESC, r.id DESC LIMIT :count"
    ),
    "body": "SELECT packed FROM bodies WHERE record_id = :record_id",
    "bodies": "SELECT b.packed FROM records r JOIN bodies b ON b.record_id = r.record_id "
    "WHERE r.model = :model AND r.kind = :kind ORDER BY r.at DESC, r.id DESC LIMIT :count",
    "unreadable": "SELECT topic, partition, position, problem FROM unreadable "
    "ORDER BY topic, partition, position LIMIT :count",
    "positions": "SELECT topic, partition, next FROM positions ORDER BY topic, partition",
}
