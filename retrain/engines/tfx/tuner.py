"""Searches hyperparameters in parallel: keras-tuner's oracle asks, a pool of processes trains.

keras-tuner's own distribution polls once a second, sleeps in steps of twenty seconds at the end and
imports everything in each worker; this pool starts each process once. The first trial has the
champion's values, so a search never ends worse than what is known. The oracle's files and the
trials' results stay in the search's folder: a killed search goes on with the trials that it has.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import keras_tuner
import msgspec
import structlog

from retrain.engines.tfx.search_space import first_values, fixed
from retrain.engines.tfx.training_config import (
    NetJob,
    TrainingOptions,
    TunerOptions,
    custom_config,
)
from retrain.engines.tfx.trials import Slot, Trial, pool, run_trial
from retrain.engines.tfx.tuner_table import results_table
from retrain.models.code import ModelCode
from streaming.contracts.errors import ConfigurationError, GateFailedError

log = structlog.get_logger()

TRIALS = "trials.json"
OBJECTIVE = "loss"
"""What is minimised: the loss on the rows that were held back, as the trainer stops by it."""

MAX_CRASHES = 2
"""Times that the pool is started again after a process of it died."""


class _Oracle(keras_tuner.oracles.RandomSearchOracle):  # type: ignore[misc]
    """Random search whose first trial has given values."""

    def __init__(self, first: Mapping[str, Any], **options: Any) -> None:
        super().__init__(**options)
        self._first = dict(first)

    def populate_space(self, trial_id: str) -> Any:
        if not self.trials:
            self._tried_so_far.add(self._compute_values_hash(self._first))
            return {"status": "RUNNING", "values": self._first}
        return super().populate_space(trial_id)


class PoolTuner:
    """What TFX's Tuner component needs of a tuner.

    Parameters
    ----------
    job:
        The net; its values are replaced by those of each trial.
    space:
        `keras_tuner.HyperParameters` that are varied.
    champion:
        Hyperparameters of the live version; empty without one.
    options:
        Budget.
    folder:
        Where the rows are and trials are written. A search in it goes on.
    leases:
        One slot for each process.
    """

    tuner_id = "driftline"

    def __init__(
        self,
        job: NetJob,
        space: Any,
        champion: Mapping[str, Any],
        options: TunerOptions,
        folder: Path,
        leases: list[Slot],
    ) -> None:
        self._job, self._options, self._folder, self._leases = job, options, folder, leases
        self._fixed = fixed(space, champion)
        self.oracle = _Oracle(
            first_values(space, champion),
            objective=keras_tuner.Objective(OBJECTIVE, "min"),
            max_trials=options.trials,
            hyperparameters=space,
            seed=options.seed,
            max_consecutive_failed_trials=max(3, options.trials),
        )
        self.oracle.verbose = 0
        self.oracle._set_project_dir(str(folder), "oracle")
        self.trials: list[Trial] = self._reloaded()

    def search(self) -> None:
        """Run trials until the budget of trials or of time is used up.

        Raises
        ------
        GateFailedError
            When no trial ended with a loss.
        """
        deadline = time.time() + self._options.seconds
        for crash in range(MAX_CRASHES + 1):
            try:
                self._search(deadline)
                break
            except BrokenProcessPool:
                self._give_up_running("its process died; perhaps the memory did not suffice")
                if crash == MAX_CRASHES:
                    log.warning("tuner.stopped", reason="processes of the pool keep dying")
        if not any(trial.loss is not None for trial in self.trials):
            reasons = "; ".join(sorted({trial.reason for trial in self.trials})) or "no time"
            raise GateFailedError(
                f"No trial of the search ended with a loss: {reasons}. Correct search_space, or"
                " give the search more time (retrain.tuner.seconds)."
            )

    def search_space_summary(self) -> None:
        """TFX calls it before the search."""
        log.info("tuner.space", hyperparameters=sorted(self.oracle.hyperparameters.values))

    def results_summary(self) -> None:
        """Show the trials on standard error; TFX calls it after the search."""
        sys.stderr.write(results_table(self.trials))

    def get_best_hyperparameters(self, num_trials: int = 1) -> list[Any]:
        """The values of the best trials, with the champion's that were not varied."""
        best = []
        for trial in self.oracle.get_best_trials(num_trials):
            hyperparameters = trial.hyperparameters.copy()
            hyperparameters.values = self._fixed | hyperparameters.values
            best.append(hyperparameters)
        return best

    def _search(self, deadline: float) -> None:
        running: dict[Future[Trial], str] = {}
        with pool(self._folder, self._leases) as processes:
            names = {f"process-{number}" for number in range(len(self._leases))}
            while True:
                for name in sorted(names - set(running.values())):
                    trial = self._next(name, deadline)
                    if trial is None:
                        break
                    values = self._fixed | dict(trial.hyperparameters.values)
                    job = msgspec.structs.replace(self._job, values=values)
                    running[_submit(processes, trial.trial_id, job, deadline)] = name
                if not running:
                    return
                ended, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in ended:
                    del running[future]
                    self._end(future.result())

    def _next(self, name: str, deadline: float) -> Any:
        """The oracle's next trial; None when the budget is used up. The first one always runs."""
        if self.oracle.trials and time.time() >= deadline:
            return None
        trial = self.oracle.create_trial(name)
        return trial if trial.status == "RUNNING" else None

    def _end(self, result: Trial) -> None:
        log.info(
            "tuner.trial", id=result.id, ending=result.ending, loss=result.loss,
            values=result.values,
        )  # fmt: skip
        self.trials.append(result)
        trial = self.oracle.get_trial(result.id)
        if result.loss is None:
            trial.status, trial.message = "FAILED", result.reason
        else:
            self.oracle.update_trial(result.id, {OBJECTIVE: result.loss}, step=result.epochs)
            trial = self.oracle.get_trial(result.id)
            trial.status = "COMPLETED"
        self.oracle.end_trial(trial)
        temporary = self._folder / f"{TRIALS}.new"
        temporary.write_bytes(msgspec.json.encode(self.trials))
        temporary.replace(self._folder / TRIALS)

    def _give_up_running(self, reason: str) -> None:
        for trial in list(self.oracle.ongoing_trials.values()):
            values = dict(trial.hyperparameters.values)
            self._end(Trial(id=trial.trial_id, values=values, ending="failed", reason=reason))

    def _reloaded(self) -> list[Trial]:
        """The trials of a search that was killed; the oracle repeats those that had not ended."""
        if not (self._folder / TRIALS).is_file():
            return []
        self.oracle.reload()
        ended = msgspec.json.decode((self._folder / TRIALS).read_bytes(), type=list[Trial])
        # The oracle saves itself before it forgets that a trial runs, so it would repeat the last.
        ids = {trial.id for trial in ended}
        self.oracle._retry_queue = [each for each in self.oracle._retry_queue if each not in ids]
        return ended


def _submit(
    processes: ProcessPoolExecutor, trial_id: str, job: NetJob, deadline: float
) -> Future[Trial]:
    try:
        return processes.submit(run_trial, trial_id, job, deadline)
    except (OSError, ValueError) as error:
        # How a pool fails whose process has died a moment ago: its pipes are closed, or their
        # numbers already belong to others.
        raise BrokenProcessPool(str(error)) from error


def tuner_fn(fn_args: Any) -> Any:
    """TFX's function of the Tuner component: ``custom_config`` is that of `training_config`."""
    from tfx.components.tuner.component import TunerFnResult

    from retrain.engines.tfx.tuner_inputs import prepared_search

    search = prepared_search(fn_args)
    tuner = PoolTuner(
        search.job, search.space, search.champion, search.options, search.folder, search.leases
    )
    return TunerFnResult(tuner=tuner, fit_kwargs={})


def tuner_component(
    code: ModelCode,
    *,
    examples: Any,
    transform_graph: Any,
    schema: Any,
    model: str,
    steps: int,
    batch: int,
    tuner: TunerOptions,
    options: TrainingOptions | None = None,
) -> Any:
    """TFX's Tuner for a model's net; its output ``best_hyperparameters`` is an input of Trainer.

    Parameters
    ----------
    code:
        The model's code; it needs ``build_model``.
    examples, transform_graph, schema:
        Channels of the pipeline.
    model:
        Name of the model.
    steps, batch:
        As for the training, of each trial.
    tuner:
        The budget and the champion's hyperparameters.
    options:
        Of the training; precision and devices count.

    Raises
    ------
    ConfigurationError
        When the model has a ``run_fn`` of its own and no ``build_model``: it is not known what to
        train in a trial.
    """
    if not code.build_model:
        raise ConfigurationError(
            f"{model} cannot be tuned: its code has no build_model, by which a trial makes a net."
            " Set retrain.tuner to null, or write build_model."
        )
    import tfx.v1 as tfx

    config = custom_config(code, model=model, batch=batch, options=options)
    return tfx.components.Tuner(
        tuner_fn=f"{__name__}.tuner_fn",
        examples=examples,
        transform_graph=transform_graph,
        schema=schema,
        train_args=tfx.proto.TrainArgs(splits=["train"], num_steps=steps),
        eval_args=tfx.proto.EvalArgs(splits=["eval"]),
        custom_config=config | {"tuner": msgspec.json.encode(tuner).decode()},
    )
