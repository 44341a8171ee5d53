"""The JSON of the API, as OpenAPI describes it; docs/reference/records.md describes records."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from deploy.config.access_settings import RoleName
from deploy.projection.reader import Stored
from streaming.contracts.experiment_records import ExperimentMetric
from streaming.contracts.records import Channel

KINDS = (
    "approval-decision",
    "approval-outcome",
    "approval-request",
    "answer-comparison",
    "canary-verdict",
    "command",
    "command-reply",
    "dead-letter",
    "drift-verdict",
    "experiment-look",
    "experiment-status",
    "model-version",
    "promotion",
    "quality-verdict",
    "retrain-failure",
    "retrain-progress",
    "retrain-request",
    "rollout-status",
    "schema-proposal",
    "schema-verdict",
    "schema-version",
)
Kind = Literal[KINDS]  # type: ignore[valid-type]
"""Kinds of records that can be listed."""
CommandAction = Literal[
    "retrain",
    "pause",
    "resume",
    "promote",
    "abort",
    "rollback",
    "retry",
    "stop-experiment",
    "accept-schema",
    "reject-schema",
]
"""Commands that are given to a model; approvals are decided at /approvals, and an experiment is
started at /models/{model}/experiments."""
Reason = Annotated[str, Field(min_length=1, max_length=2000)]


def _whole(value: object) -> object:
    """JSON knows one kind of number: 1.0 is an integer."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE = BeforeValidator(_whole)


class Shape(BaseModel):
    """A JSON object; docstrings are the descriptions."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class Input(Shape):
    """The content of a request; unknown keys are refused, and so are values of another type."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, strict=True)


class RecordSummary(Shape):
    """A record in few words."""

    record_id: str
    """Id of the record."""
    kind: str
    """Kind of the record, for example `drift-verdict`."""
    model: str
    """Model that the record is about."""
    at: float
    """Time of creation, seconds since 1970."""
    version: int
    """Version of the model that it is about; 0 where there is none."""
    subject: str
    """What it belongs to, by id; empty for nothing."""
    outcome: str
    """Outcome, state, phase or action in one word."""
    headline: str
    """What it says."""
    reason: str
    """Why."""
    window_start: float
    """Start of its window, seconds since 1970; 0 without a window."""
    window_end: float
    """End of its window; 0 without a window."""

    @classmethod
    def of(cls, row: Stored) -> RecordSummary:
        """The summary of a row."""
        return cls(**{name: getattr(row, name) for name in cls.model_fields})


class RecordList(Shape):
    """Records, newest first."""

    items: list[RecordSummary]
    next: float | None
    """Give it as `before` for the records that follow; null at the end."""


class RecordDetail(Shape):
    """A record between its causes and its effects."""

    summary: RecordSummary
    causes: list[RecordSummary]
    """What caused it, the nearest first."""
    effects: list[RecordSummary]
    """What it caused, the nearest first."""
    record: dict[str, Any] | None
    """The full record; null where it is not shown."""
    problem: str
    """Why the full record is not shown; empty when it is."""


class Judgement(Shape):
    """The newest verdict of one kind."""

    name: str
    """What is judged: inputs, quality, schema or canary."""
    state: str
    """good, warning, bad, unknown or active."""
    reason: str
    record_id: str


class ModelState(Shape):
    """What is live, what is wrong, and what is waited for."""

    name: str
    state: str
    """The state that needs attention first."""
    live_version: int | None
    """The version that serves; null for none."""
    live_since: float | None
    """Since when, seconds since 1970."""
    judgements: list[Judgement]
    rollout: RecordSummary | None
    """The newest status of the rollout in progress."""
    waits_for: str
    """What it waits for; empty for nothing."""
    role: RoleName
    """Your role for this model."""


class Task(Shape):
    """Something that only a person can do."""

    model: str
    text: str
    link: str
    """Page of the console where it is done."""
    command: str
    """Command that does it; empty where the page does."""
    due: float | None
    """Until when, seconds since 1970."""


class ModelList(Shape):
    """The models that you may see."""

    items: list[ModelState]
    tasks: list[Task]
    """What needs a person, the most urgent first."""


class ApprovalDetail(Shape):
    """An approval request and what became of it."""

    request: dict[str, Any]
    """The record `approval-request`."""
    decisions: list[dict[str, Any]]
    """The records `approval-decision`, oldest first."""
    outcome: dict[str, Any] | None
    """The record `approval-outcome`; null while it is open."""
    state: str
    """open, or how it ended."""
    stale: str
    """Why it cannot be decided as it was asked; empty when it can."""
    barrier: str
    """Why you may not say yes; empty when you may."""


class ApprovalList(Shape):
    """Approval requests: the open ones, the most urgent first, then those that ended."""

    items: list[ApprovalDetail]


class Decision(Input):
    """Yes or no to an approval request; the request's digest is in its ETag."""

    answer: Literal["approve", "reject"]
    reason: Reason
    """Why; it is kept with the decision."""
    force: bool = False
    """Whether a yes is meant also without the evidence; needs an admin."""


class CommandInput(Input):
    """A command for a model."""

    action: CommandAction
    reason: Reason
    """Why; it is kept with the command."""
    version: Annotated[int, Field(ge=0, le=2**31 - 1), WHOLE] = 0
    """The version it concerns; 0: the one that is rolled out or live. `promote` and `retry` must
    name it."""
    digest: Annotated[str, Field(max_length=100)] = ""
    """Digest of what was reviewed: of the version's artifact for `promote` and `retry`, of the
    proposal's text for a schema command. The command is refused when it has changed."""
    subject: Annotated[str, Field(max_length=200)] = ""
    """Id of the schema proposal, or of the experiment to stop."""
    force: bool = False
    """Whether `promote` or `retry` is meant also against the gates; needs an admin."""
    window_start: Annotated[float, Field(ge=0, le=1e11)] | None = None
    """For a retrain: only windows from this event time on, seconds since 1970."""
    window_end: Annotated[float, Field(ge=0, le=1e11)] | None = None
    """For a retrain: only windows that end by this event time."""


class ArmInput(Input):
    """A version that users meet."""

    version: Annotated[int, Field(ge=1, le=2**31 - 1), WHOLE]
    """The version."""
    percent: Annotated[float, Field(gt=0, le=100)]
    """Percent of the users."""
    digest: Annotated[str, Field(min_length=1, max_length=100)]
    """Digest of the version's artifact that was reviewed; another one is refused."""


class ExperimentInput(Input):
    """An experiment to start: users meet other versions, each user always the same one."""

    arms: Annotated[list[ArmInput], Field(min_length=1, max_length=20)]
    """The versions beside the champion."""
    seconds: Annotated[float, Field(gt=0, le=1e9)]
    """How long users meet them at most."""
    champion_percent: Annotated[float, Field(gt=0, le=100)] | None = None
    """Percent of the users that are counted for the champion; null: as many as meet the largest
    other arm, as far as users are left."""
    begin: Annotated[float, Field(ge=0, le=1e11)] | None = None
    """When it begins, seconds since 1970; null: at once."""
    metric: ExperimentMetric | None = None
    """What is compared; null: the setting."""
    minimum_effect: Annotated[float, Field(gt=0, le=1e9)] | None = None
    """The smallest difference that matters; null: the setting."""
    reason: Reason
    """Why; it is kept with the command."""
    force: bool = False
    """Whether it is meant also against the gates; needs an admin."""


class CommandResult(Shape):
    """What became of a command. Refused ones are problems with status 403 or 409."""

    command_id: str
    """Id of the record; `/commands/{command_id}` shows it."""
    state: Literal["accepted", "sent"]
    """sent: the daemon has not replied yet."""
    reason: str
    result_id: str
    """Id of the record that it led to; empty for none."""


class CommandDetail(Shape):
    """A command as it is on the log, and the reply."""

    command_id: str
    model: str
    at: float
    action: str
    reason: str
    who: str
    """Name of the person."""
    role: str
    """Role of the person for the model when it was given; empty where the settings gave none."""
    channel: Channel
    signed_by: str
    """Name of the key that signed it; empty for none."""
    accepted: bool | None
    """Whether the daemon accepted it; null without a reply."""
    reply: str
    """The daemon's reason; empty without a reply."""
    result_id: str


class Me(Shape):
    """Who you are."""

    person: str
    how: Literal["local", "session", "token"]
    roles: dict[str, RoleName]
    """Your role for each model that you may see."""


class TokenInput(Input):
    """A token to make. It never gives more than your own roles."""

    label: Annotated[str, Field(min_length=1, max_length=100)]
    """What it is for."""
    role: RoleName
    """The highest role that it gives."""
    days: Annotated[int, Field(ge=1, le=3650), WHOLE]
    """Days until it expires; access.token is the most."""


class TokenDetail(Shape):
    """What is known of a token."""

    id: str
    person: str
    label: str
    role: RoleName
    created: float
    expires: float
    revoked: float | None
    """When it was revoked, seconds since 1970; null when it was not."""


class NewToken(TokenDetail):
    """A new token."""

    token: str
    """The token. It is shown here once and kept nowhere."""


class TokenList(Shape):
    """Tokens, newest first."""

    items: list[TokenDetail]
