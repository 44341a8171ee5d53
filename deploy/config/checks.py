"""Rules of `driftline.yaml` that concern several keys, or the world outside the file.

Each check takes the settings and yields the key it complains about and a sentence. Checks run on
whatever part of the file is valid (see `deploy.config.partial`), so that one wrong key does not
hide another mistake.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from zoneinfo import available_timezones

from deploy.config.access_checks import ACCESS_CHECKS
from deploy.config.address_checks import ADDRESS_CHECKS
from deploy.config.alert_checks import ALERT_CHECKS
from deploy.config.event_checks import CODE_CHECKS, EVENT_CHECKS, MODEL_EVENT_CHECKS
from deploy.config.metadata_checks import METADATA_CHECKS
from deploy.config.model_settings import ModelSettings
from deploy.config.retention_checks import RETENTION_CHECKS
from deploy.config.serving_checks import SERVING_CHECKS
from deploy.config.settings import Settings
from deploy.config.topic_checks import MODEL_TOPIC_CHECKS, TOPIC_CHECKS
from deploy.config.types import Problem
from deploy.config.units import format_duration
from retrain.models.code import import_failure, load_code
from serving.rules import LATENCY_EDGES_MS
from streaming.contracts.errors import ConfigurationError
from streaming.contracts.experiment_records import METRICS
from streaming.contracts.tolerance import CHANGES

RESERVED_FOLDERS = frozenset(
    (
        *(".", "..", "access", "artifacts", "daemon", "data", "demo", "envoy", "flink"),
        *("kafka", "log", "metadata", "mlflow", "notify", "opt", "projection"),
        *("prometheus", "run", "scratch", "uv"),
    )
)
"""Names below DRIFTLINE_HOME that have another use."""


def problems(
    settings: Settings, *, partial: bool = False, contracts: bool = False
) -> list[Problem]:
    """Every rule that the settings break.

    Parameters
    ----------
    settings:
        Complete settings, or with `partial` some of whose required keys may be absent: a check
        that needs an absent key is skipped.
    contracts:
        Also import each model's contract, which is light and starts no engine.
    """
    model_checks = (*_MODEL_CHECKS, *_CONTRACT_CHECKS) if contracts else _MODEL_CHECKS
    result: list[Problem] = []
    for check in _CHECKS:
        result += _run(lambda check=check: check(settings), partial)  # type: ignore[misc]
    for name, model in settings.models.items():
        for model_check in model_checks:
            result += [
                (("models", name, *path), message)
                for path, message in _run(
                    lambda check=model_check, model=model: check(model),  # type: ignore[misc]
                    partial,
                )
            ]
    return result


def _run(check: Callable[[], Iterator[Problem]], partial: bool) -> list[Problem]:
    try:
        return list(check())
    except AttributeError:
        if partial:
            return []
        raise


# ------------------------------------------------------------------------ one model


def _module_exists(model: ModelSettings) -> Iterator[Problem]:
    try:
        spec = find_spec(model.module) if model.module else None
    except (Exception, SystemExit) as error:  # noqa: BLE001 - parent packages are user code
        yield ("module",), f"{model.module} cannot be imported: {import_failure(error)}."
        return
    if spec is None:
        yield (
            ("module",),
            f"There is no module {model.module!r}. Write the import path of the model's package; "
            "`code: .` at the top of the file adds the file's folder to the import path.",
        )


def _contract_loads(model: ModelSettings) -> Iterator[Problem]:
    if not any(_module_exists(model)):
        try:
            load_code(model.module)
        except ConfigurationError as error:
            yield ("module",), str(error)


def _metric_of_the_task(model: ModelSettings) -> Iterator[Problem]:
    try:
        task = load_code(model.module).task
    except ConfigurationError:
        return  # another check says so
    metrics = METRICS[task.kind]
    if model.experiments.metric not in (None, *metrics):
        yield (
            ("experiments", "metric"),
            f"A {task.kind} model is compared by {', '.join(metrics)}.",
        )


def _window(model: ModelSettings) -> Iterator[Problem]:
    milliseconds = model.window.size * 1000
    if abs(milliseconds / 10 - round(milliseconds / 10)) > 1e-9:
        yield (
            ("window", "size"),
            f"{format_duration(model.window.size)} is not a multiple of 10 ms.",
        )


def _effects_ascend(model: ModelSettings) -> Iterator[Problem]:
    effect = model.drift.effect
    if effect.suspected > effect.drifted:
        yield (
            ("drift", "effect", "suspected"),
            f"{effect.suspected} is larger than drifted ({effect.drifted}); it must not be.",
        )


def _time_zone(model: ModelSettings) -> Iterator[Problem]:
    zone, known = model.drift.season_zone, available_timezones()
    if zone not in known and zone != "UTC":
        near = difflib.get_close_matches(zone, known, n=1)
        hint = f"Did you mean {near[0]}?" if near else "Write it like America/Chicago."
        yield ("drift", "season_zone"), f"{zone!r} is not a time zone. {hint}"


def _enough_rows(model: ModelSettings) -> Iterator[Problem]:
    retrain = model.retrain
    for key in ("min_labelled_rows", "min_initial_rows"):
        rows = getattr(retrain, key)
        if rows is not None and retrain.max_rows < rows:
            yield (
                ("retrain", "max_rows"),
                f"{retrain.max_rows} is less than {key} ({rows}), so no retrain could start.",
            )


def _budget(model: ModelSettings) -> Iterator[Problem]:
    if model.retrain.budget.times < 1:
        yield ("retrain", "budget"), "Less than one retrain per period; none could ever start."


def _steps_ascend(model: ModelSettings) -> Iterator[Problem]:
    steps = model.rollout.steps
    if list(steps) != sorted(set(steps)) or not steps or steps[0] < 1 or steps[-1] != 100:
        yield (
            ("rollout", "steps"),
            f"{list(steps)} must ascend from at least 1 to 100, for example [1, 10, 50, 100].",
        )
    elif len(steps) < 2 or steps[-2] > 50:
        yield (
            ("rollout", "steps"),
            f"{list(steps)} needs a last step of at most 50 before 100: the control arm gets as "
            "much traffic as the canary.",
        )


def _deadline_allows_steps(model: ModelSettings) -> Iterator[Problem]:
    rollout = model.rollout
    held = (len(rollout.steps) - 1) * rollout.hold
    if rollout.deadline <= held:
        yield (
            ("rollout", "deadline"),
            f"{format_duration(rollout.deadline)} is over before {len(rollout.steps) - 1} steps of "
            f"{format_duration(rollout.hold)} (hold) have passed; allow more than "
            f"{format_duration(held)}.",
        )


def _latency_is_counted(model: ModelSettings) -> Iterator[Problem]:
    milliseconds = model.rollout.gates.latency_p99 * 1000
    if not any(abs(milliseconds - edge) < 1e-6 for edge in LATENCY_EDGES_MS):
        near = min(LATENCY_EDGES_MS, key=lambda edge: abs(edge - milliseconds))
        edges = ", ".join(map(str, LATENCY_EDGES_MS))
        yield (
            ("rollout", "gates", "latency_p99"),
            f"{format_duration(milliseconds / 1000)} is not an edge of Envoy's latency histogram "
            f"({edges} ms); the nearest is {near}ms.",
        )


def _errors_allowed(model: ModelSettings) -> Iterator[Problem]:
    if model.rollout.gates.errors <= 0:
        yield (
            ("rollout", "gates", "errors"),
            "An excess of 0 cannot be proven; write +0.1pp or more.",
        )


def _never_passing(model: ModelSettings) -> Iterator[Problem]:
    for code in model.tolerance.never:
        if code in CHANGES:
            yield (
                ("tolerance", "never"),
                f"{code} is change, which a retrain has to learn; it never stops one.",
            )
        elif not re.fullmatch(r"[A-Z][A-Z_]+", code):
            yield (
                ("tolerance", "never"),
                f"{code!r} is not a name of TFDV's anomalies, for example SCHEMA_MISSING_COLUMN.",
            )


def _horizon(model: ModelSettings) -> Iterator[Problem]:
    horizon, mature = model.quality.horizon, model.labels.mature_after
    if horizon is not None and horizon < mature:
        yield (
            ("quality", "horizon"),
            f"{format_duration(horizon)} is over before labels usually arrive "
            f"(labels.mature_after: {format_duration(mature)}).",
        )


def _drift_rules(model: ModelSettings) -> Iterator[Problem]:
    if not [*_effects_ascend(model), *_time_zone(model)]:
        yield from _refused("drift", model.drift_rules)


def _quality_rules(model: ModelSettings) -> Iterator[Problem]:
    yield from _refused("quality", model.quality_rules)


def _rollout_rules(model: ModelSettings) -> Iterator[Problem]:
    named = (
        *_steps_ascend(model),
        *_latency_is_counted(model),
        *_errors_allowed(model),
        *_experiment_rules(model),
    )
    if not named:
        yield from _refused("rollout", model.rollout_rules)


def _slices_are_named(model: ModelSettings) -> Iterator[Problem]:
    """A field of the predictions names slices only where there are some, and predictions."""
    slices = model.rollout.slices
    where = ("rollout", "slices", "field")
    if not slices.field:
        return
    if slices.field in (model.events.key, model.events.time, "version", "prediction"):
        yield (
            where,
            f"{slices.field!r} has another meaning in the messages of the predictions topic; name "
            "the field that holds the value of the header.",
        )
    if not slices.values:
        yield where, "Name the slices: rollout.slices.header and rollout.slices.values."
    if model.predictions is None:
        yield (
            where,
            "The model has no predictions topic, so no scores are known: set predictions.topic, or "
            "leave the field out.",
        )


def _experiment_rules(model: ModelSettings) -> Iterator[Problem]:
    yield from _refused("experiments", model.experiment_rules)


def _users_can_be_counted(model: ModelSettings) -> Iterator[Problem]:
    needed = model.experiments.user_window + model.labels.mature_after
    if model.experiments.max_duration <= needed:
        yield (
            ("experiments", "max_duration"),
            f"{format_duration(model.experiments.max_duration)} is over before the first user "
            f"counts: experiments.user_window and labels.mature_after are "
            f"{format_duration(needed)} together.",
        )
    field = model.experiments.user_field.strip()
    if not field or field in (model.events.key, model.events.time, "version", "prediction"):
        yield (
            ("experiments", "user_field"),
            f"{field!r} has another meaning in the messages of the predictions topic; name the "
            "field that holds the user.",
        )


def _refused(section: str, make_rules: Callable[[], object]) -> Iterator[Problem]:
    """What the rules themselves refuse and no check above has named."""
    try:
        make_rules()
    except ConfigurationError as error:
        yield (section,), str(error)


# ------------------------------------------------------------------------ the whole file


def _model_names(settings: Settings) -> Iterator[Problem]:
    for name in settings.models:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
            yield (
                ("models", name),
                f"{name!r} is not a usable name; use letters, digits, dots, - and _ (it becomes a "
                "folder and a part of URLs).",
            )


def _tenants(settings: Settings) -> Iterator[Problem]:
    if settings.stream.split == "tenant":
        for name, model in settings.models.items():
            if not model.tenant:
                yield ("models", name), f"stream.split: tenant needs models.{name}.tenant."


def _workers(settings: Settings) -> Iterator[Problem]:
    stream = settings.stream
    if stream.parallelism > stream.max_workers:
        yield (
            ("stream", "parallelism"),
            f"{stream.parallelism} is more than stream.max_workers ({stream.max_workers}).",
        )


def _state_folder(settings: Settings) -> Iterator[Problem]:
    folder = settings.local.folder
    if folder in RESERVED_FOLDERS:
        yield (
            ("local", "folder"),
            f"{folder!r} has another use below DRIFTLINE_HOME; choose a name of its own.",
        )


_CHECKS: tuple[Callable[[Settings], Iterator[Problem]], ...] = (
    _model_names,
    *TOPIC_CHECKS,
    *RETENTION_CHECKS,
    _tenants,
    _workers,
    _state_folder,
    *SERVING_CHECKS,
    *EVENT_CHECKS,
    *ACCESS_CHECKS,
    *ADDRESS_CHECKS,
    *METADATA_CHECKS,
    *ALERT_CHECKS,
)
_MODEL_CHECKS: tuple[Callable[[ModelSettings], Iterator[Problem]], ...] = (
    _module_exists,
    *MODEL_TOPIC_CHECKS,
    *MODEL_EVENT_CHECKS,
    _window,
    _effects_ascend,
    _time_zone,
    _enough_rows,
    _budget,
    _steps_ascend,
    _deadline_allows_steps,
    _latency_is_counted,
    _errors_allowed,
    _never_passing,
    _horizon,
    _drift_rules,
    _quality_rules,
    _rollout_rules,
    _experiment_rules,
    _users_can_be_counted,
    _slices_are_named,
)
_CONTRACT_CHECKS: tuple[Callable[[ModelSettings], Iterator[Problem]], ...] = (
    _contract_loads,
    *CODE_CHECKS,
    _metric_of_the_task,
)
"""Those that import the model's contract."""
