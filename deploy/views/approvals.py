"""Approvals for people: a list of them, and everything that one decision is about."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.table import Table

from deploy.config.units import format_duration, format_time
from deploy.records.approvals import Approval, Review
from deploy.views.escapes import one_line
from deploy.views.output import outcome_text, table
from deploy.views.review import review_lines
from streaming.contracts.records import AnswerComparison, ApprovalRequest


def approvals_table(entries: Sequence[Approval], *, now: float) -> Table:
    """Requests with their state, who said what, and until when one is open."""
    shown = table(
        "approvals", "request", "model", ">version", "lets", "state", "said", "until", "reason"
    )
    for entry in entries:
        request = entry.request
        outcome = entry.outcome
        shown.add_row(
            request.record_id,
            request.model,
            str(request.version),
            request.stage.replace("-", " "),
            outcome_text(entry.state),
            _said(entry),
            format_time(request.deadline) if outcome is None else "",
            _progress(entry, now) if outcome is None else outcome.reason,
        )
    return shown


def _said(entry: Approval) -> str:
    """Each decision, with the role and the reason."""
    return "; ".join(
        f"{decision.who}{f' ({decision.role})' if decision.role else ''} {decision.answer}: "
        f"{decision.reason}"
        for decision in entry.decisions
    )


def _progress(entry: Approval, now: float) -> str:
    request = entry.request
    left = request.deadline - now
    time_left = f"{format_duration(round(left))} left" if left > 0 else "its deadline has passed"
    return f"{len(entry.approved_by)} of {request.people} approved, {time_left}"


def decision_lines(review: Review, *, now: float) -> Iterator[str]:
    """What a person decides on: what it is, its evidence, what yes and no do, who may."""
    approval, request = review.approval, review.approval.request
    replaced = f", to replace version {request.champion}" if request.champion else ""
    stage = request.stage.replace("-", " ")
    yield one_line(f"request {request.record_id}: approval {stage}{replaced}")
    yield one_line(
        f"asked {format_time(request.at)}, open until {format_time(request.deadline)}: "
        f"{_progress(approval, now)}"
    )
    yield one_line(f"who may decide: {who_may(request)}")
    if approval.decisions:
        yield one_line(f"said so far: {_said(approval)}")
    yield one_line(f"why: {request.reason}")
    yield one_line(f"digest of all that is shown {request.digest}")
    yield one_line(f"digest of the evaluation {request.evaluation}")
    if request.comparison:
        yield one_line(f"digest of the comparison of answers {request.comparison}")
    yield from review_lines(review.version, review.verdict)
    if review.comparison is not None:
        yield from comparison_lines(review.comparison)
    yield one_line(f"on yes: {request.on_yes}")
    yield one_line(f"on no: {request.on_no}")
    yield one_line(f"after the deadline: {request.on_deadline}")


def who_may(request: ApprovalRequest) -> str:
    """Who may say yes, and how many people it takes, in words."""
    names = ", ".join(
        f"{approver.name} ({approver.role})" if approver.role else approver.name
        for approver in request.approvers
    )
    people = f"{request.people} different people are needed" if request.people > 1 else ""
    barred = f"not {', '.join(request.barred)}, who proposed it" if request.barred else ""
    return "; ".join(filter(None, (names or "anybody", people, barred)))


def comparison_lines(record: AnswerComparison) -> Iterator[str]:
    """The paired comparison of answers in a line or two."""
    compared, statistics = record.comparison, record.comparison.statistics
    yield one_line(f"answers compared: {compared.outcome}: {compared.reason}")
    if statistics is not None:
        rank = (
            "" if statistics.spearman is None else f", rank correlation {statistics.spearman:.2f}"
        )
        yield one_line(
            f"{compared.rows} rows, agreement {100 * statistics.agreement:.1f} %{rank}; "
            f"`driftline rollout answers {record.model}` shows the rows"
        )
